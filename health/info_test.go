package health

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFields(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in string
		want     fields
	}{
		{"empty", "", fields{}},
		{"a section", "# Server\r\nredis_version:8.0.2\r\n\r\n# Clients\r\nconnected_clients:3\r\n", fields{"redis_version": "8.0.2", "connected_clients": "3"}},
		{"no carriage returns", "a:1\nb:2", fields{"a": "1", "b": "2"}},
		{"colons in the value", "config_file:c:\\x\r\nlistener0:name=tcp,bind=::1\r\n", fields{"config_file": "c:\\x", "listener0": "name=tcp,bind=::1"}},
		{"no value", "config_file:\r\n", fields{"config_file": ""}},
		{"garbage", "hello\r\n:x\r\n#a:b\r\n\x00\xff\r\n", fields{}},
		{"twice: the first counts", "role:slave\r\nrole:master\r\n", fields{"role": "slave"}},
	} {
		if diff := cmp.Diff(tc.want, parseFields(tc.in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestFieldNumbers(t *testing.T) {
	t.Parallel()
	f := fields{"a": "12", "neg": "-1", "big": "99999999999999999999", "max": "9223372036854775807", "text": "x", "float": "1.5"}
	for name, want := range map[string]int64{"a": 12, "neg": 0, "big": 0, "max": math.MaxInt64, "text": 0, "float": 0, "absent": 0} {
		if got := f.count(name); got != want {
			t.Errorf("%s: %d, not %d", name, got, want)
		}
	}
	if f.num("neg") != -1 {
		t.Error(f.num("neg"))
	}
}

func TestExpires(t *testing.T) {
	t.Parallel()
	f := parseFields("# Keyspace\r\ndb0:keys=10,expires=3,avg_ttl=0,subexpiry=0\r\ndb15:keys=2,expires=2\r\ndbsize:keys=1,expires=100\r\ndb1:keys=1,expires=-5\r\ndb2:expires=x\r\n")
	if got := f.expires(); got != 5 {
		t.Errorf("%d keys with a TTL, not 5", got)
	}
}

func TestHumanBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1.00K", 916864: "895.38K", 2621440: "2.50M", 25276510208: "23.54G", math.MaxInt64: "8.00E", -1: "-1B",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %q, not %q", n, got, want)
		}
	}
}

// Whatever a server sends as INFO, nothing panics and no number is negative but
// where that has a meaning.
func FuzzInfo(f *testing.F) {
	f.Add("redis_version:7.0.15\r\nrole:master\r\nused_memory:1\r\nmaxmemory:1\r\nmaxmemory_policy:volatile-lru\r\ndb0:keys=1,expires=1\r\n")
	f.Add("role:slave\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:-1\r\nmaster_last_io_seconds_ago:-1\r\n")
	f.Add("loading:1\r\nloading_eta_seconds:9223372036854775807\r\nuptime_in_seconds:9223372036854775807\r\n")
	f.Add("used_memory:9223372036854775807\r\nmem_not_counted_for_evict:-9223372036854775808\r\nmaxmemory:1\r\nmaxmemory_policy:noeviction")
	f.Add("valkey_version:x\r\nslave0:state=online\r\nmin_slaves_good_slaves:0\r\naof_enabled:1\r\naof_last_write_status:err\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		k := testChecker(t, &fakeSource{}, Options{})
		var r Result
		n := k.assess(&r, answer{addr: "h:1", took: 1, info: text, hello: map[string]string{"proto": "3"}}, primaryRole)
		i := n.Server.Info
		for name, v := range map[string]int64{
			"uptime": int64(i.Uptime), "clients": i.ConnectedClients, "max clients": i.MaxClients, "used": i.UsedMemory, "max": i.MaxMemory,
			"evicted": i.EvictedKeys, "eta": int64(i.LoadingETA), "replicas": i.ConnectedReplicas,
		} {
			if v < 0 {
				t.Errorf("%s is %d", name, v)
			}
		}
		if n.Healthy != (n.Err == nil) || n.Healthy != (n.Reason == ReasonNone) {
			t.Errorf("%+v", n)
		}
		if n.Err != nil && strings.Contains(n.Err.Error(), "%!") {
			t.Errorf("%v", n.Err)
		}
	})
}
