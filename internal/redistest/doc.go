// Package redistest starts a real Redis for tests and for the demo: a standalone
// server, a primary with replicas under Sentinels, or a cluster, of Redis 7.0,
// Redis 8.0 or Valkey 8.1. It hands over addresses, does to servers and networks
// what production does to them, and leaves nothing behind.
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
//	func TestWriteWithoutReply(t *testing.T) {
//		ctx := t.Context()
//		server := redistest.Standalone(t, redistest.Options{})
//		proxy := redistest.NewProxy(t, server)
//		client := connect(t, proxy.Addr()) // the library under test
//
//		// The server executes the INCR, and the client never hears of it.
//		lost, err := proxy.SwallowReply(redistest.Command("INCR", "k"), true)
//		if err != nil {
//			t.Fatal(err)
//		}
//		if err := client.Incr(ctx, "k"); !errors.Is(err, ErrUnknownOutcome) {
//			t.Errorf("got %v", err)
//		}
//		if _, _, err := lost.Wait(ctx); err != nil { // the fault did happen
//			t.Error(err)
//		}
//		if n, err := server.Do(ctx, "GET", "k"); n != "1" {
//			t.Errorf("the server has %v, %v", n, err)
//		}
//	}
//
// # Starting
//
// [Standalone], [Sentinel] and [Cluster] start what [Options] ask for (password,
// ACL users, TLS, directives of redis.conf, a Unix socket) and remove it when the
// test ends. [Shared] and [SharedStandalone] hand out one per process, for tests
// that only touch keys of their own. Programs use [StartServer], [StartGroup] and
// [Shutdown], which take no testing.TB.
//
// Two environment variables choose for tests that do not:
//
//	REDISTEST_SERVER    redis:8.0 (default), redis:7.0, valkey:8.1, or local:
//	                    the redis-server in PATH, without Docker
//	REDISTEST_TOPOLOGY  standalone (default), sentinel, cluster: what [Default],
//	                    and [Shared] without a topology, start
//
// Servers run in containers on the host's network (Linux), made by
// testcontainers; where no Docker engine answers, as processes of this machine.
// Images are never pulled: scripts/images.sh pulls or makes them, and with
// --local gets a redis-server for use without Docker.
//
// # Controlling
//
// A [Server] can be frozen and thawed, killed, stopped, and started again at the
// same address: [Server.Freeze], [Server.Kill], [Server.Restart]. [Server.Do] runs a command
// on it, and [Server.Dial] opens a connection, past all proxies, with all
// rights, and without the library under test. A [Group] tells who is primary
// ([Group.Primary]), fails over in order ([Group.Failover]) or by a crash
// ([Group.Crash]), moves slots under load ([Group.MigrateSlots]), and knows when
// its members agree again ([Group.AwaitConverged]).
//
// # Faults on the way
//
// A [Proxy] delays, throttles, holds back, resets or refuses connections, and
// swallows the reply to a chosen command after the server executed it. It counts
// what it saw, so that a test can check that its fault happened. [NewProxy] puts
// one in front of a server.
//
// Every server of a group already has one, its gate: [Server.Proxy]. It is the
// address that the group announces, to clients and to each other, and it knows
// the servers apart from clients by the loopback address that each one calls
// from. So [Group.Isolate] and [Group.Partition] cut servers off from each other
// and leave clients alone, faults on the gate are felt by clients alone, and
// neither needs privileges. The price is a hop through this process;
// [Options.Direct] does without.
//
// What it cannot do: drop the very first packet of a connection. Behind a black
// hole a connection is accepted and then silent, as by a host whose kernel is
// alive.
//
// # Cleaning up
//
// Servers go when their test ends, also when it failed or panicked. When the
// process dies in any other way (a -timeout, SIGKILL) a watching shell removes its
// containers, and local servers die with it. Should that fail too, the next
// process that uses the package finds by their labels what the dead have left.
package redistest
