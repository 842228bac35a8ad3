package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
)

// openConn opens a client of ours, as a user gets it.
func openConn(b *B) (*conn.Client, error) {
	c, err := conn.Open(context.Background(), conn.Config{URL: b.URL})
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return c.Close(ctx)
	})
	return c, nil
}

// openRueidis opens rueidis with its defaults, changed by the functions.
func openRueidis(url string, change ...func(*rueidis.ClientOption)) (rueidis.Client, error) {
	opt, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	for _, f := range change {
		f(&opt)
	}
	return rueidis.NewClient(opt)
}

// A rueidisPeer is a way to configure rueidis.
type rueidisPeer func(*rueidis.ClientOption)

// rueidisDefault is rueidis as a user gets it. A single caller is served
// synchronously, so that a deadline that passes costs it the connection.
func rueidisDefault(*rueidis.ClientOption) {}

// rueidisPipelined is rueidis configured as conn does it, with one connection on
// which everything is pipelined.
func rueidisPipelined(o *rueidis.ClientOption) {
	o.AlwaysPipelining, o.PipelineMultiplex, o.DisableCache = true, -1, true
}

func (p rueidisPeer) open(b *B) (rueidis.Client, error) {
	c, err := openRueidis(b.URL, p)
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() error { c.Close(); return nil })
	return c, nil
}

// openGoRedis opens go-redis with its defaults.
func openGoRedis(b *B) (*redis.Client, error) {
	opt, err := redis.ParseURL(b.URL)
	if err != nil {
		return nil, err
	}
	c := redis.NewClient(opt)
	b.Cleanup(c.Close)
	return c, nil
}

// openGoRedisPipelined opens go-redis' face that waits for each call and sends
// the commands of concurrent callers together.
func openGoRedisPipelined(b *B) (redis.Cmdable, error) {
	c, err := openGoRedis(b)
	if err != nil {
		return nil, err
	}
	return c.AutoPipeline()
}
