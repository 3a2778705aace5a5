# Static binaries of every process in one small image, run as nobody in
# particular. Choose the process by its command: /bin/api, /bin/postern, …
# no digest: no registry was reachable when this was written. `docker buildx imagetools inspect golang:1.26.8-alpine` prints it: write golang:1.26.8-alpine@sha256:…
FROM golang:1.26.8-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/ ./cmd/...
# The image has no shell to make a folder in.
RUN mkdir -p /out/content /out/archive

# no digest: scratch is empty
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/api /out/fanout-worker /out/notify-worker /out/recorder /out/postern /bin/
# The volume that is mounted here takes this folder's owner over.
COPY --from=build --chown=65532:65532 /out/content /var/lib/postern/content
COPY --from=build --chown=65532:65532 /out/archive /var/lib/postern/archive
USER 65532:65532
CMD ["/bin/postern", "help"]
