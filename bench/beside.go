package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/position"
)

const (
	smallEvery = 50 * time.Millisecond // between two small messages
	inboxEvery = 5 * time.Millisecond  // between two requests of an inbox
	readers    = 20                    // who read their inboxes in turn, in blocks far apart
)

// measureOnlyBeside measures small messages and pages of inboxes during the second blast after
// an import.
func measureOnlyBeside(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake, n int) error {
	fmt.Printf("importing %d portal users, sending to them …\n", n)
	if err := s.importDirectory(ctx, dir, n); err != nil {
		return err
	}
	if _, err := s.send(ctx, n, fake); err != nil {
		return err
	}
	fmt.Println("sending, with small messages and busy inboxes beside …")
	f := Figures{}
	return s.measureBeside(ctx, n, fake, &f)
}

// measureBeside measures small messages and pages of inboxes while a blast is delivered and
// alerted. Each reader signs in once, before the blast.
func (s *system) measureBeside(ctx context.Context, n int, fake *sendgridfake.Fake, f *Figures) error {
	clients := make([]*http.Client, readers)
	var to string // the recipient of the small messages
	for i := range clients {
		reader := readerID(n, i)
		client, err := s.signInReader(ctx, reader)
		if err != nil {
			return err
		}
		clients[i], to = client, `{"portal_user_ids":["`+reader+`"],"groups":[]}`
	}
	during, done := context.WithCancel(ctx)
	defer done()
	w, err := s.watchDeliveries(ctx)
	if err != nil {
		return err
	}
	defer w.stop()
	var small, inbox []time.Duration
	var faults [2]error
	var beside sync.WaitGroup
	beside.Go(func() {
		small, faults[0] = repeatEvery(during, smallEvery, func(int) error { return s.sendSmall(ctx, to, w) })
	})
	beside.Go(func() {
		inbox, faults[1] = repeatEvery(during, inboxEvery, func(nth int) error { return s.readInbox(clients[nth%readers]) })
	})
	taken, cpu := stopwatch(), processorTime()
	_, err = s.sendBeside(ctx, n)
	done()
	seconds := taken()
	beside.Wait()
	if err := errors.Join(err, faults[0], faults[1]); err != nil {
		return err
	}
	f.SmallP99MS, f.InboxP99MS = ms(percentile(small, 99)), ms(percentile(inbox, 99))
	fmt.Printf("  %d small messages, readable after %.0f ms (median), %.0f (p99)\n", len(small), ms(percentile(small, 50)), f.SmallP99MS)
	fmt.Printf("  %d pages of inboxes, in %.1f ms (median), %.1f (p99)\n", len(inbox), ms(percentile(inbox, 50)), f.InboxP99MS)
	fmt.Printf("  in the %.1f s of a blast, of which this program took %.1f s of processor time\n", seconds, processorTime()-cpu)
	return s.awaitAlerts(ctx, fake)
}

// sendSmall sends a message to one portal user, and returns once a request shows that it is
// delivered.
func (s *system) sendSmall(ctx context.Context, to string, w *deliveryWatch) error {
	id, err := s.sendTo(ctx, to)
	if err != nil {
		return err
	}
	told, err := w.add(id)
	if err != nil {
		return err
	}
	var m struct{ Progress progress } // it may be delivered already, or be by now
	if err := s.call(ctx, http.MethodGet, "/v1/messages/"+id, nil, &m); err != nil || m.Progress.Delivered == 1 {
		return err
	}
	select {
	case err = <-told:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return s.await(ctx, id, time.Millisecond, func(p progress) bool { return p.Delivered == 1 })
}

func (s *system) readInbox(client *http.Client) error {
	res, err := client.Get(s.url + "/v1/portal/messages")
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return errors.New("the inbox answered " + res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body) // otherwise the connection could not be used again
	return err
}

// deliveryWatch tells when messages are delivered. It looks once for all of them after each
// move of the recorder's position, because a request for each message every few milliseconds
// would be most of the load.
type deliveryWatch struct {
	cancel  context.CancelFunc
	done    chan struct{}
	mu      sync.Mutex
	waiting map[uuid.UUID]chan error
	failed  error
}

func (s *system) watchDeliveries(ctx context.Context) (*deliveryWatch, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+position.Channel); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &deliveryWatch{cancel: cancel, done: make(chan struct{}), waiting: map[uuid.UUID]chan error{}}
	go func() {
		defer close(w.done)
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		err := w.follow(ctx, conn)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failed = err
		for id, told := range w.waiting {
			told <- err
			delete(w.waiting, id)
		}
	}()
	return w, nil
}

func (w *deliveryWatch) stop() {
	w.cancel()
	<-w.done
}

func (w *deliveryWatch) follow(ctx context.Context, conn *pgx.Conn) error {
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		if err := w.look(ctx, conn); err != nil {
			return err
		}
	}
}

func (w *deliveryWatch) look(ctx context.Context, conn *pgx.Conn) error {
	w.mu.Lock()
	ids := make([]uuid.UUID, 0, len(w.waiting))
	for id := range w.waiting {
		ids = append(ids, id)
	}
	w.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, `SELECT message_id FROM record.messages WHERE message_id = ANY($1) AND delivered > 0`, ids)
	if err != nil {
		return err
	}
	delivered, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range delivered {
		w.waiting[id] <- nil
		delete(w.waiting, id)
	}
	return err
}

// add returns a channel that gets a value once a message is delivered. If that happened before
// the call, it gets one with the next event of the record.
func (w *deliveryWatch) add(message string) (<-chan error, error) {
	id, err := uuid.Parse(message)
	if err != nil {
		return nil, err
	}
	told := make(chan error, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[id] = told
	return told, w.failed
}

// sendBeside sends a blast and returns once it is delivered and alerted, by its progress: the
// stand-in also counts the alerts of the small messages.
func (s *system) sendBeside(ctx context.Context, n int) (id string, err error) {
	if id, err = s.sendTo(ctx, toAll); err != nil {
		return "", err
	}
	return id, s.await(ctx, id, 100*time.Millisecond, func(p progress) bool { return p.Alerted >= n })
}

// awaitAlerts waits until the stand-in gets no more alerts.
func (s *system) awaitAlerts(ctx context.Context, fake *sendgridfake.Fake) error {
	for before := -1; before != fake.Count(); {
		before = fake.Count()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// repeatEvery starts do at an interval, each time in its own goroutine and with its number,
// until the context ends, and returns the durations, sorted, and the first error.
func repeatEvery(ctx context.Context, interval time.Duration, do func(nth int) error) (times []time.Duration, failed error) {
	var mu sync.Mutex
	var running sync.WaitGroup
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for nth := 0; ; nth++ {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			running.Wait()
			slices.Sort(times)
			return times, failed
		}
		running.Go(func() {
			began := time.Now()
			err := do(nth)
			mu.Lock()
			defer mu.Unlock()
			if times = append(times, time.Since(began)); failed == nil {
				failed = err
			}
		})
	}
}

// percentile returns a percentile of sorted durations.
func percentile(sorted []time.Duration, of int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*of/100]
}

// connections reuses the connections of many requests at once. The default transport keeps two
// for each host, and would open a new one for nearly every request.
var connections = &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256}

// readerID returns the id of one of the readers, of n portal users.
func readerID(n, i int) string { return random("portal user", i*n/readers) }

// signInReader gives a portal user a password and returns a client that is signed in.
func (s *system) signInReader(ctx context.Context, id string) (*http.Client, error) {
	if _, err := s.verbWith(ctx, password, "portal-user", "set-password", id, "--password-stdin"); err != nil {
		return nil, err
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var email string
	if err := conn.QueryRow(ctx, `SELECT email FROM app.portal_users WHERE portal_user_id = $1`, id).Scan(&email); err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Jar: jar, Transport: connections}
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		return nil, err
	}
	res, err := client.Post(s.url+"/v1/portal/session", "application/json", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 300 {
		return nil, errors.New("signing in answered " + res.Status)
	}
	return client, nil
}
