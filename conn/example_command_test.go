package conn_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
)

// A key that does not exist is no failure: rueidis.IsRedisNil tells it apart.
func ExampleClient_Do() {
	c := open()
	ctx := context.Background()
	defer c.Close(ctx)
	key := c.Keyspace("example-do").Key("visits")
	defer c.Do(ctx, c.B().Del().Key(key).Build())

	_, err := c.Do(ctx, c.B().Get().Key(key).Build()).AsInt64()
	fmt.Println("missing:", rueidis.IsRedisNil(err))

	ctx, cancel := context.WithTimeout(ctx, time.Second) // or else Config.CommandTimeout
	defer cancel()
	n, err := c.Do(ctx, c.B().Incr().Key(key).Build()).AsInt64()
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("visits:", n)
	// Output:
	// missing: true
	// visits: 1
}

// Several commands in one round trip; each has a result of its own.
func ExampleClient_DoMulti() {
	c := open()
	ctx := context.Background()
	defer c.Close(ctx)
	k := c.Keyspace("example-multi")

	for i, res := range c.DoMulti(ctx,
		c.B().Set().Key(k.Key("a")).Value("1").Ex(time.Minute).Build(),
		c.B().Set().Key(k.Key("b")).Value("2").Ex(time.Minute).Build(),
		c.B().Get().Key(k.Key("a")).Build(),
		c.B().Lpush().Key(k.Key("b")).Element("3").Build(), // is not a list
	) {
		text, err := res.ToString()
		fmt.Println(i, text, err)
	}
	// Output:
	// 0 OK <nil>
	// 1 OK <nil>
	// 2 1 <nil>
	// 3  conn: pipeline: key holds another type: WRONGTYPE Operation against a key holding the wrong kind of value
}

// take takes one of what is left, if there is any, in one atomic step.
var take = conn.NewScript("example.take", `
local left = tonumber(redis.call('GET', KEYS[1]) or '0')
if left < tonumber(ARGV[1]) then return -1 end
return redis.call('DECRBY', KEYS[1], ARGV[1])
`)

func ExampleScript_Run() {
	c := open()
	ctx := context.Background()
	defer c.Close(ctx)
	stock := c.Keyspace("example-script").Key("apples")
	if err := c.Do(ctx, c.B().Set().Key(stock).Value("3").Ex(time.Minute).Build()).Error(); err != nil {
		log.Print(err)
		return
	}
	for range 2 {
		left, err := take.Run(ctx, c, []string{stock}, []string{"2"}).AsInt64()
		fmt.Println(left, err)
	}
	// Output:
	// 1 <nil>
	// -1 <nil>
}

// Scripts and commands together, in one round trip.
func ExampleClient_Batch() {
	c := open()
	ctx := context.Background()
	defer c.Close(ctx)
	stock := c.Keyspace("example-batch").Key("pears")

	b := c.Batch()
	b.Do(c.B().Set().Key(stock).Value("9").Ex(time.Minute).Build())
	b.Do(c.B().Ttl().Key(stock).Build())
	for i, res := range b.Exec(ctx) {
		fmt.Println(i, res.Error())
	}

	b = c.Batch()
	b.Run(take, []string{stock}, []string{"2"})
	b.Run(take, []string{stock}, []string{"3"})
	for i, res := range b.Exec(ctx) {
		left, err := res.AsInt64()
		fmt.Println(i, left, err)
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 0 7 <nil>
	// 1 4 <nil>
}
