package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
)

// connGoal is what conn may cost over rueidis.
const connGoal = 0.97

const (
	withDefaults  = "rueidis"
	withPipelines = "rueidis, AlwaysPipelining, one connection"
	withPool      = "go-redis"
	withAuto      = "go-redis, AutoPipeline"
)

// several are the parallelisms at which conn is measured against rueidis'
// defaults. For a single caller these include a synchronous mode, which conn
// cannot use, as a deadline that passes would cost the connection; the goal is
// then that of rueidis' pipelined mode.
var several = []int{8, 64}

// connRows compares conn with the clients beneath and beside it.
func connRows() []row {
	var rows []row
	for _, op := range []struct {
		name string
		call rueidisCall
		mode contextMode
	}{
		{"get", get, background},
		{"set", set, background},
		{"get-timeout", get, perCallTimeout},
		{"get-cancel", get, perCallCancel},
		{"multi10", multi10, background},
		{"script", nil, background},
	} {
		ours, peer := callConn(op.call, op.mode), callRueidis(op.call, op.mode)
		if op.name == "script" {
			ours, peer = scriptConn, scriptRueidis
		}
		c := Comparison{Name: "conn/" + op.name, Goal: connGoal, SameAllocs: true, Latency: true, Ours: ours}

		c.PeerName, c.Parallel, c.Peer = withDefaults, several, peer(rueidisDefault)
		rows = append(rows, expand(c)...)

		alike := c
		alike.Name, alike.PeerName, alike.Parallel, alike.Peer = c.Name+"/alike", withPipelines, nil, peer(rueidisPipelined)
		rows = append(rows, expand(alike)...)

		// For information only: see several.
		c.Parallel, c.Goal, c.SameAllocs = []int{1}, 0, false
		rows = append(rows, expand(c)...)
	}
	return append(rows, append(goRedisRows(), Footprint{
		Name: "conn/idle", PeerName: withDefaults, Goal: 3 << 20,
		Ours: func(b *B) error { _, err := openConn(b); return err },
		Peer: func(b *B) error { _, err := rueidisPeer(rueidisDefault).open(b); return err },
	})...)
}

func goRedisRows() []row {
	pool := func(b *B) (redis.Cmdable, error) { return openGoRedis(b) }
	base := Comparison{Goal: 1, Latency: true}
	var all []Comparison
	for _, op := range []struct {
		name   string
		ours   rueidisCall
		theirs goRedisCall
	}{{"get", get, goRedisGet}, {"set", set, goRedisSet}} {
		c := base
		c.Name, c.PeerName = "conn/"+op.name+"/go-redis", withPool
		c.Ours, c.Peer = callConn(op.ours, background), callGoRedis(op.theirs, pool)
		all = append(all, c)
		c.Name, c.PeerName = "conn/"+op.name+"/go-redis-auto", withAuto
		c.Peer = callGoRedis(op.theirs, openGoRedisPipelined)
		all = append(all, c)
	}
	return expand(all...)
}

// value is what is stored: 100 bytes.
var value = strings.Repeat("0123456789", 10)

// contextMode makes the context of a call.
type contextMode int

const (
	background     contextMode = iota // context.Background()
	perCallTimeout                    // a deadline for this call
	perCallCancel                     // no deadline, but it can be cancelled
)

func (m contextMode) context() (context.Context, context.CancelFunc) {
	switch m {
	case perCallTimeout:
		return context.WithTimeout(context.Background(), time.Second)
	case perCallCancel:
		return context.WithCancel(context.Background())
	}
	return context.Background(), func() {}
}

// doer is what conn.Client and rueidis.Client have in common.
type doer interface {
	B() rueidis.Builder
	Do(context.Context, rueidis.Completed) rueidis.RedisResult
	DoMulti(context.Context, ...rueidis.Completed) []rueidis.RedisResult
}

type rueidisCall func(ctx context.Context, c doer, w *Worker) error

func get(ctx context.Context, c doer, w *Worker) error {
	v, err := c.Do(ctx, c.B().Get().Key(w.Key()).Build()).ToString()
	return right(v, err)
}

func set(ctx context.Context, c doer, w *Worker) error {
	return c.Do(ctx, c.B().Set().Key(w.Key()).Value(value).Build()).Error()
}

func multi10(ctx context.Context, c doer, w *Worker) error {
	cmds := make([]rueidis.Completed, 0, 10)
	key, b := w.Key(), c.B()
	for range 5 {
		cmds = append(cmds, b.Get().Key(key).Build(), b.Set().Key(key).Value(value).Build())
	}
	for _, res := range c.DoMulti(ctx, cmds...) {
		if err := res.Error(); err != nil {
			return err
		}
	}
	return nil
}

// right refuses a reply that is not the value that fill stored.
func right(v string, err error) error {
	if err == nil && v != value {
		return errors.New("a GET returned what was never stored")
	}
	return err
}

func callConn(call rueidisCall, mode contextMode) Setup {
	return func(b *B) (Op, error) {
		c, err := openConn(b)
		if err != nil {
			return nil, err
		}
		return operation(b, c, call, mode)
	}
}

func callRueidis(call rueidisCall, mode contextMode) func(rueidisPeer) Setup {
	return func(peer rueidisPeer) Setup {
		return func(b *B) (Op, error) {
			c, err := peer.open(b)
			if err != nil {
				return nil, err
			}
			return operation(b, c, call, mode)
		}
	}
}

// operation makes the Op, the same for both sides.
func operation(b *B, c doer, call rueidisCall, mode contextMode) (Op, error) {
	if err := fill(b, c); err != nil {
		return nil, err
	}
	if mode == background {
		ctx := context.Background()
		return func(w *Worker) error { return call(ctx, c, w) }, nil
	}
	return func(w *Worker) error {
		ctx, cancel := mode.context()
		defer cancel()
		return call(ctx, c, w)
	}, nil
}

// fill gives every key the value.
func fill(b *B, c doer) error {
	cmds := make([]rueidis.Completed, 0, len(b.Keys))
	for _, key := range b.Keys {
		cmds = append(cmds, c.B().Set().Key(key).Value(value).Build())
	}
	for _, res := range c.DoMulti(context.Background(), cmds...) {
		if err := res.Error(); err != nil {
			return err
		}
	}
	return nil
}

const scriptSource = `return redis.call('GET', KEYS[1])`

func scriptConn(b *B) (Op, error) {
	c, err := openConn(b)
	if err != nil {
		return nil, err
	}
	s, ctx := conn.NewScript("bench.get", scriptSource), context.Background()
	return func(w *Worker) error {
		return right(s.Run(ctx, c, []string{w.Key()}, []string{"1"}).ToString())
	}, fill(b, c)
}

func scriptRueidis(peer rueidisPeer) Setup {
	return func(b *B) (Op, error) {
		c, err := peer.open(b)
		if err != nil {
			return nil, err
		}
		s, ctx := rueidis.NewLuaScript(scriptSource), context.Background()
		return func(w *Worker) error {
			return right(s.Exec(ctx, c, []string{w.Key()}, []string{"1"}).ToString())
		}, fill(b, c)
	}
}

type goRedisCall func(ctx context.Context, c redis.Cmdable, w *Worker) error

func goRedisGet(ctx context.Context, c redis.Cmdable, w *Worker) error {
	return right(c.Get(ctx, w.Key()).Result())
}

func goRedisSet(ctx context.Context, c redis.Cmdable, w *Worker) error {
	return c.Set(ctx, w.Key(), value, 0).Err()
}

func callGoRedis(call goRedisCall, open func(*B) (redis.Cmdable, error)) Setup {
	return func(b *B) (Op, error) {
		c, err := open(b)
		if err != nil {
			return nil, err
		}
		ctx := context.Background()
		for i := range b.Keys {
			if err := goRedisSet(ctx, c, &Worker{N: i, b: b}); err != nil {
				return nil, err
			}
		}
		return func(w *Worker) error { return call(ctx, c, w) }, nil
	}
}
