package health

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relay-platform/redis/conn"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The names in the JSON are a promise: changing one fails here.
func TestResultJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	info := &Info{
		Uptime: time.Hour, ConnectedClients: 7, MaxClients: 10000, UsedMemory: 2621440, UsedMemoryHuman: "2.50M", MaxMemory: 104857600,
		MaxMemoryPolicy: "noeviction", EvictedKeys: 3, Persistence: PersistenceBoth, ConnectedReplicas: 2,
	}
	replica := &Info{
		Loading: true, LoadingETA: 1500 * time.Millisecond, Persistence: PersistenceOff, ReplicationLink: "down", ReplicationLag: 2 * time.Second,
		UsedMemoryHuman: "0B",
	}
	down := refused("10.0.0.2:6379")
	for name, r := range map[string]Result{
		"ok": {
			Healthy: true, Status: StatusOK, CheckedAt: at, ResponseTime: 1234567 * time.Nanosecond, Mode: conn.ModeStandalone,
			Connection: Connection{State: conn.Connected, Since: at},
			Server:     &Server{Kind: "redis", Version: "8.0.2", Role: "primary", Tracking: true, Info: info},
			Nodes: []Node{{
				Addr: "10.0.0.1:6379", Healthy: true, ResponseTime: 1234567 * time.Nanosecond,
				Server: &Server{Kind: "redis", Version: "8.0.2", Role: "primary", Tracking: true, Info: info},
			}},
			Warnings: []Warning{{Code: WarnSlow, Addr: "10.0.0.1:6379", Message: "slow"}},
		},
		"cluster": {
			Status: StatusDegraded, Reason: ReasonSlotsUncovered, Err: &uncovered{Cluster{SlotsServed: 1, SlotsAssigned: 2}, down}, CheckedAt: at,
			ResponseTime: time.Second, Slow: true, Mode: conn.ModeCluster, Connection: Connection{State: conn.Reconnecting, Since: at},
			Nodes: []Node{
				{Addr: "10.0.0.2:6379", Reason: ReasonRefused, Err: down, ResponseTime: time.Millisecond, Slots: 5461},
				{Addr: "10.0.0.3:6379", Healthy: true, Server: &Server{Kind: "valkey", Version: "8.1.1", Role: "replica", Info: replica}},
			},
			Cluster: &Cluster{SlotsServed: 1, SlotsAssigned: 2, StateOK: 3, StateFail: 4, Primaries: 5, Replicas: 6, Reachable: 7},
		},
		"nothing": {Status: StatusDown, Reason: ReasonClosed, Err: conn.ErrClosed, CheckedAt: at, Mode: conn.ModeSentinel, Connection: Connection{State: conn.Disconnected}},
	} {
		got, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		path := filepath.Join("testdata", "result-"+name+".json")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}
