// Package pubsub sends typed messages through Redis Pub/Sub to all who listen at
// that moment.
//
//	p, err := pubsub.New(c, pubsub.Options{Source: "shop"})
//	if err != nil {
//		return err
//	}
//	sub, err := pubsub.Subscribe(ctx, p, "orders", func(ctx context.Context, m pubsub.Message[Order]) error {
//		return ship(ctx, m.Payload)
//	}, pubsub.SubscribeOptions{
//		OnGap:   func(ctx context.Context) { reload(ctx) }, // messages may be missing
//		OnError: func(err error) { log.Print(err) },
//	})
//	if err != nil {
//		return err
//	}
//	defer sub.Close(ctx)
//
//	id, err := pubsub.Publish(ctx, p, "orders", Order{Number: 42})
//
// c is a [conn.Client]; see package conn for how to open one.
//
// # What is promised
//
// [Subscribe] returns when Redis has confirmed the subscription: what is
// published from then on is received. Each subscription has a network connection
// of its own, so that it never delays commands; how many there can be is bounded
// by conn.Config.PoolSize, which they share with blocking commands.
//
// Messages of one subscription are handled one after the other, in the order in
// which Redis sent them, away from the connection's reader; in a cluster, where
// every node can publish, one message may overtake another on the way. A handler
// that does not keep up loses the oldest messages that wait, counted in
// [Stats.Dropped]. A handler that panics loses that message, and nothing else.
//
// A lost connection is made again, for ever. What was published meanwhile is
// lost: OnGap is called after every reconnect, because nobody can tell whether
// there was anything. Redis keeps no message: a subscriber that is not there does
// not get it. In a cluster, what is lost between its nodes is noticed by nobody.
//
// # What is in Redis
//
// Messages are JSON objects with id, type, source, time, payload and, where
// given, correlation_id, on the channel "<prefix>pubsub:<channel>".
//
// # What it does today
//
// Publish and Subscribe for one channel each. Two subscriptions to one channel
// are two connections. There are no patterns, no sharded channels, no other
// answers to a full queue than dropping the oldest, no messages without our
// envelope, and nothing durable.
//
// # Errors
//
// Errors name the channel. They are those of package conn and match with
// errors.Is; bad input is [conn.ErrInvalidArgument].
package pubsub
