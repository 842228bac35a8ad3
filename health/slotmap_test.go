package health

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseNodes(t *testing.T) {
	t.Parallel()
	const text = "07c3 127.0.0.1:30004@31004,hostname4 slave e7d1 0 1426238317239 4 connected\n" +
		"67ed 127.0.0.1:30002@31002,,shard-id=69bc master - 0 1426238316232 2 connected 5461-10922\n" +
		"292f 127.0.0.1:30003@31003,node.example,shard-id=1 master - 0 1426238318243 3 connected 10923-16382 16383 [93-<-292f] [77->-e7d1]\n" +
		"6ec2 [::1]:30005@31005 slave,fail? 67ed 0 1 5 connected\n" +
		"824f 127.0.0.1:30006@31006 master,fail - 0 1 6 disconnected\n" +
		"0000 :0@0 slave,noaddr - 0 1 6 disconnected\n" +
		"1111 127.0.0.1:30007@31007 handshake - 0 0 0 connected\n" +
		"e7d1 :30001@31001 myself,master - 0 0 1 connected 0-5460\n" +
		"garbage\n"
	want := []mapNode{
		{addrs: []string{"127.0.0.1:30004", "hostname4:30004"}},
		{addrs: []string{"127.0.0.1:30002"}, primary: true, slots: 5462},
		{addrs: []string{"127.0.0.1:30003", "node.example:30003"}, primary: true, slots: 5461},
		{addrs: []string{"[::1]:30005"}},
		{addrs: []string{"127.0.0.1:30006"}, primary: true, failed: true},
		{addrs: []string{"10.0.0.9:30001"}, primary: true, slots: 5461},
	}
	if diff := cmp.Diff(want, parseNodes(text, "10.0.0.9:30001"), cmp.AllowUnexported(mapNode{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseNodes(f *testing.F) {
	f.Add("67ed 127.0.0.1:30002@31002,h,shard-id=69bc myself,master - 0 1426238316232 2 connected 5461-10922 [93-<-292f]\n")
	f.Add("a b:1 master d e f g h 0-16383 0-16383 9-1 70000 -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range parseNodes(text, "h:1") {
			if n.slots < 0 || n.slots > slotCount || len(n.addrs) == 0 || len(n.addrs) > 2 {
				t.Errorf("%+v", n)
			}
		}
	})
}
