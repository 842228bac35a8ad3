package pubsub

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
)

const (
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
)

// pause is the time before the n-th attempt to reconnect in a row (n from 1):
// half of it is random, so that many subscribers do not come back in step.
func pause(n int) time.Duration {
	d := maxPause
	if n < 6 {
		d = min(maxPause, firstPause<<(n-1))
	}
	return d/2 + rand.N(d/2) //nolint:gosec // jitter is no secret
}

// receive keeps the subscription, over as many connections as that takes. It
// sends the outcome of the first attempt, and gives up only if that failed or
// the Client is closed.
func (s *Subscription) receive(confirmed chan<- error) {
	defer s.queue.close()
	first := true
	failures := 0
	for {
		held, err := s.connection(!first, func() {
			if first {
				confirmed <- nil
			}
			first = false
		})
		if s.life.Err() != nil {
			return
		}
		if first {
			confirmed <- err
			return
		}
		s.tell("receive", err)
		s.event("receive", time.Now(), err)
		if errors.Is(err, conn.ErrClosed) {
			return
		}
		if held {
			failures = 0
		}
		failures++
		select {
		case <-time.After(pause(failures)):
		case <-s.life.Done():
			return
		}
	}
}

// connection subscribes on a connection of its own, and returns when that is
// lost, could not be had, or is not wanted any more. It calls confirmed when
// Redis has confirmed the subscription. again says that it is not the first, so
// that there is a gap before its messages.
//
// The hooks are called on the connection's reader, in Redis' order; an attempt
// that was given up may still call them.
func (s *Subscription) connection(again bool, confirmed func()) (held bool, err error) {
	ctx, cancel := context.WithTimeout(s.life, s.p.c.CommandTimeout())
	defer cancel()
	raw, err := s.p.c.Raw(ctx)
	if err != nil {
		return false, err
	}
	d, err := dedicate(ctx, raw)
	if err != nil {
		return false, s.p.c.WrapError("SUBSCRIBE", false, err)
	}
	defer d.Close()
	ready := make(chan struct{})
	lost := d.SetPubSubHooks(rueidis.PubSubHooks{
		OnSubscription: func(e rueidis.PubSubSubscription) {
			if e.Kind == "subscribe" {
				if again {
					s.queue.put(item{gap: true})
				}
				close(ready)
			}
		},
		OnMessage: func(m rueidis.PubSubMessage) {
			s.stats.received.Add(1)
			if s.queue.put(item{text: m.Message}) {
				s.stats.dropped.Add(1)
			}
		},
	})
	if err := d.Do(ctx, d.B().Subscribe().Channel(s.channel).Build()).Error(); err != nil {
		return false, s.p.c.WrapError("SUBSCRIBE", false, err)
	}
	select {
	case <-ready:
	case <-ctx.Done(): // a server that confirms without saying so is none
		return false, s.p.c.WrapError("SUBSCRIBE", false, ctx.Err())
	}
	confirmed()
	select {
	case err = <-lost:
		if err == nil {
			err = conn.ErrNotConnected
		}
	case <-s.life.Done():
		err = s.life.Err()
	}
	return true, s.p.c.WrapError("SUBSCRIBE", false, err)
}

// dedicate takes a connection for itself. rueidis may have to make it, or to wait
// for one of the pool, and knows no context for that.
func dedicate(ctx context.Context, raw rueidis.Client) (rueidis.DedicatedClient, error) {
	got := make(chan rueidis.DedicatedClient)
	go func() {
		d, _ := raw.Dedicate()
		select {
		case got <- d:
		case <-ctx.Done():
			d.Close()
		}
	}()
	select {
	case d := <-got:
		return d, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
