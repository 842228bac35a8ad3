// Package health tells whether the Redis behind a [conn.Client] can be used,
// and if not, why: a frozen server, a wrong password and a full memory each give
// an answer of their own.
//
//	func main() {
//		client, err := conn.Open(context.Background(), conn.Config{Lazy: true}) // or conn.FromEnv
//		if err != nil {
//			log.Fatal(err)
//		}
//		checker, err := health.New(client, health.Options{})
//		if err != nil {
//			log.Fatal(err)
//		}
//		http.Handle("/livez", health.LivenessHandler())
//		http.Handle("/readyz", checker.ReadinessHandler())
//		log.Fatal(http.ListenAndServe(":8080", nil))
//	}
//
// # One check
//
// [Checker.Check] asks once and always comes back within Options.Timeout. Its
// [Result] says whether Redis serves (Healthy), how well (Status), what is wrong
// (Reason, and Err for errors.Is), what may become a problem (Warnings), and
// what the servers tell of themselves. Slow is not dead: an answer that comes
// within the time-out is an answer, marked Slow above Options.SlowAfter.
//
// # Watching
//
// [Checker.Watch] checks again and again, and at once when the connection's
// state changes; it calls back with each result, or with each change.
//
// # Liveness and readiness
//
// [LivenessHandler] says that the process serves requests. It never asks Redis:
// an orchestrator restarts what is not alive, and restarting a service does not
// mend its Redis. [Checker.ReadinessHandler] says whether the process should get
// traffic: 503 while Redis is not healthy, 200 otherwise. A result may be up to
// Options.MaxAge old, and probes that come while a check is under way wait for
// that one, so that a storm of probes is no storm on Redis. A service that can
// do part of its work without Redis, or with a Redis that cannot be written to,
// says so with Options.Ready.
//
// # How each condition is found
//
// A check sends PING, HELLO and INFO in one round trip, and in a cluster CLUSTER
// INFO to every node and CLUSTER NODES to one. Once a minute CONFIG GET save goes
// with them, until it is refused. Nothing is ever written. Asking the replicas of
// a cluster takes a connection to each, which the client would not open for
// itself: conn.Config.BufferBytes of memory, and a client of each replica.
//
//   - [ReasonRefused], [ReasonDNS], [ReasonTLS], [ReasonAuth], [ReasonMaxClients],
//     [ReasonWrongMode]: a connection could not be made. The server does not
//     revoke a connection when a password changes, so that is found at the next
//     connection and not before.
//   - [ReasonNoAnswer]: nothing came back in time: the server is frozen, swamped,
//     or cut off by something that drops packets.
//   - [ReasonLoading]: PING answered LOADING, or INFO loading:1.
//   - [ReasonReadOnly]: INFO role:slave and slave_read_only:1. A replica that may
//     be written to counts as healthy.
//   - [ReasonReplicationLinkDown]: INFO master_link_status:down on the server that
//     commands go to, or PING answered MASTERDOWN.
//   - [ReasonOutOfMemory]: INFO used_memory, less mem_not_counted_for_evict, is
//     above maxmemory, and nothing can be evicted: the policy is noeviction, or
//     volatile-* and no key has a TTL. Where a policy may still evict something
//     but not enough, INFO does not tell; Options.WriteProbe does.
//   - [ReasonPersistence]: PING answered MISCONF, which it does exactly when
//     writes are refused for it, or INFO aof_last_write_status is not ok.
//   - [ReasonNoReplicas]: INFO min_slaves_good_slaves:0. Whether one or more are
//     enough for min-replicas-to-write INFO does not tell; Options.WriteProbe does.
//   - [ReasonClusterDown], [ReasonSlotsUncovered]: a slot counts as served when
//     its primary answers this process, can serve, and reports cluster_state:ok.
//     So a primary that is cut off from the cluster or from this process counts
//     as lost, whatever the others believe.
//
// Behind Sentinels the primary is asked, and tells of its replicas. The
// Sentinels themselves are not: the client does not hand out its connections to
// them.
//
// # Permissions
//
// What the Redis user needs for this package, beside what conn needs:
//
//	+ping +hello +info +config|get              single, Sentinel
//	+cluster|info +cluster|nodes                in a cluster as well
//	+eval                                       for Options.WriteProbe
//
// No key or channel is touched. Where INFO is refused the check still says that
// the server answers; what INFO would tell is absent, and a warning says so.
// Where CONFIG GET is refused (many managed offers) that is not asked again, and
// Persistence is what INFO shows of it.
package health
