package conn

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// question is one that was put to a node.
type question struct {
	done     chan struct{}
	answered atomic.Bool
	late     atomic.Bool          // nobody waits any more: the answer is to wake the prober
	msg      rueidis.RedisMessage // this and err: written before done is closed
	err      error
}

// ask puts a question to one node and waits for the answer.
func (p *prober) ask(addr string, node rueidis.Client, cmd func() rueidis.Completed) (rueidis.RedisMessage, bool, error) {
	return p.start(addr, node, cmd)()
}

// start puts a question to one node and returns a function that waits for the
// answer, for at most the probe time-out. The question itself stays for as long
// as the connection does, so that a server that goes on is noticed at once, and
// is not asked again meanwhile, so that a dead one does not collect
// goroutines; fresh is then false. Only the prober's goroutine may call start;
// what it returns may be called on any.
func (p *prober) start(name string, node rueidis.Client, cmd func() rueidis.Completed) (wait func() (_ rueidis.RedisMessage, fresh bool, _ error)) {
	q := p.asking[name]
	fresh := q == nil || q.answered.Load()
	if fresh {
		q = &question{done: make(chan struct{})}
		p.asking[name] = q
		p.running.Add(1)
		go func() {
			defer p.running.Done()
			ctx := context.WithValue(p.c.ctx, probeKey{}, true)
			q.msg, q.err = node.Do(ctx, cmd()).ToMessage()
			q.answered.Store(true)
			close(q.done)
			if q.late.Load() {
				p.c.kick()
			}
		}()
	}
	return func() (rueidis.RedisMessage, bool, error) {
		timer := time.NewTimer(p.c.cfg.ProbeTimeout)
		defer timer.Stop()
		select {
		case <-q.done:
			return q.msg, fresh, q.err
		case <-timer.C:
		}
		q.late.Store(true)
		select {
		case <-q.done: // between the two lines above: nobody will kick
			return q.msg, fresh, q.err
		default:
			return rueidis.RedisMessage{}, false, context.DeadlineExceeded
		}
	}
}
