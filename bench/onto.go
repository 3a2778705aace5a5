package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"postern/internal/eventlog"
	"postern/internal/notify/sendgridfake"
)

const (
	maxInbox    = 10 * time.Millisecond // the most that a page of an inbox may take at the median
	maxUnopened = 20 * time.Millisecond // the most that a page of unopened recipients may take at the median
)

// measureOnto measures blasts before and after a history of earlier deliveries is written, and
// then the pages that get longer with it.
func measureOnto(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake, n, deliveries int) error {
	if deliveries < n {
		return fmt.Errorf("-onto %d is less than one blast to %d portal users", deliveries, n)
	}
	fmt.Printf("importing %d portal users, sending to them …\n", n)
	if err := s.importDirectory(ctx, dir, n); err != nil {
		return err
	}
	first, err := s.send(ctx, n, fake)
	if err != nil {
		return err
	}
	fmt.Printf("  delivered in %.2f s, alerted in %.2f s\n", first.deliver, first.alert)
	var before, after Figures
	if err := s.sendFurther(ctx, n, fake, &before); err != nil {
		return err
	}
	h, err := s.writeHistory(ctx, first.id, n, deliveries/n)
	if err != nil {
		return err
	}
	// NATS remembers the ids of the latest events, to find repeats. With those of six years among them,
	// the process would collect garbage most of the time.
	if err := s.restart(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(eventlog.StreamConfig(1).Duplicates + 30*time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.sendFurther(ctx, n, fake, &after); err != nil {
		return err
	}
	fmt.Println()
	compared := func(name string, first, before, after float64) {
		figure(name, "%.2f s, before %.2f, the first %.2f: ratio %.2f, to the first %.2f", after, before, first, after/before, after/first)
	}
	compared("delivered", first.deliver, before.DeliverS, after.DeliverS)
	compared("alerted", first.alert, before.AlertS, after.AlertS)
	figure("processor time of a blast", "%.2f s, before %.2f: ratio %.2f", after.SystemCPUS, before.SystemCPUS, after.SystemCPUS/before.SystemCPUS)
	figure("bytes a delivery", "%.1f of a further blast, before %.1f", after.BytesPerDelivery, before.BytesPerDelivery)
	figure("bytes a delivery of the history", "%.1f in the tables that it is written to", h.bytesPerDelivery)
	return errors.Join(s.measureInboxes(ctx, n, len(h.blasts)+1+2*furtherBlasts),
		s.measureUnopened(ctx, "few opened", h.blasts[0].id), s.measureUnopened(ctx, "nearly all opened", h.nearlyOpened()))
}

// inboxPage is a page of an inbox.
type inboxPage struct {
	Items []struct {
		Subject string `json:"subject"` // empty if the content can't be read
	} `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// measureInboxes reads the inboxes of all readers from the newest page to the oldest, several
// times, one request at a time. Each inbox must have so many messages.
func (s *system) measureInboxes(ctx context.Context, n, messages int) error {
	var newest, all []time.Duration
	for i := range readers {
		client, err := s.signInReader(ctx, readerID(n, i))
		if err != nil {
			return err
		}
		for range rounds {
			found := 0
			for cursor := new(string); cursor != nil; {
				took, page, err := s.readInboxPage(ctx, client, *cursor)
				if err != nil {
					return err
				}
				if all = append(all, took); *cursor == "" {
					newest = append(newest, took)
				}
				for _, m := range page.Items {
					if m.Subject != "" {
						found++
					}
				}
				cursor = page.NextCursor
			}
			if found != messages {
				return fmt.Errorf("the inbox of reader %d has %d messages that can be read, not %d", i, found, messages)
			}
		}
	}
	return errors.Join(figureOf("newest page of an inbox", newest, maxInbox), figureOf(fmt.Sprintf("page of an inbox of %d", messages), all, maxInbox))
}

func (s *system) readInboxPage(ctx context.Context, client *http.Client, cursor string) (took time.Duration, page inboxPage, err error) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/portal/messages?cursor="+cursor, nil)
	if err != nil {
		return 0, page, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, page, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	took = time.Since(began)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the inbox answered %s: %s", res.Status, body)
	}
	if err != nil {
		return 0, page, err
	}
	return took, page, json.Unmarshal(body, &page)
}

// measureUnopened reads the first page of the recipients who have not opened a message.
func (s *system) measureUnopened(ctx context.Context, which string, message uuid.UUID) error {
	const limit = 50
	var times []time.Duration
	for range 20 * rounds {
		began := time.Now()
		body, err := s.raw(ctx, fmt.Sprintf("/v1/messages/%s/deliveries?opened=false&limit=%d", message, limit))
		if err != nil {
			return err
		}
		times = append(times, time.Since(began))
		var page struct{ Items []json.RawMessage }
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		if len(page.Items) != limit {
			return fmt.Errorf("a page of unopened recipients has %d of %d", len(page.Items), limit)
		}
	}
	return figureOf(fmt.Sprintf("%d unopened, %s", limit, which), times, maxUnopened)
}

// figureOf prints the durations of a request. It fails if the median is above the most.
func figureOf(name string, times []time.Duration, most time.Duration) error {
	slices.Sort(times)
	median := percentile(times, 50)
	figure(name, "%.1f ms (median), %.1f (p99)", ms(median), ms(percentile(times, 99)))
	if median > most {
		return fmt.Errorf("%s: %.1f ms at the median, more than %.0f", name, ms(median), ms(most))
	}
	return nil
}
