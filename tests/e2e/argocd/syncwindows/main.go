// syncwindows prints what Argo CD itself decides about random sync windows, one JSON value a line: the table that
// tests/gate/test_sync_windows.py compares our reading with.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"
	_ "unsafe"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/glob"
)

//go:linkname active github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1.SyncWindow.active
func active(w v1alpha1.SyncWindow, now time.Time) (bool, error)

func main() {
	random := rand.New(rand.NewSource(7))
	out := json.NewEncoder(os.Stdout)
	pick := func(all ...string) string { return all[random.Intn(len(all))] }
	field := func(low, high int, names ...string) string {
		number := func() string {
			if len(names) > 0 && random.Intn(4) == 0 {
				return names[random.Intn(len(names))]
			}
			return fmt.Sprint(low + random.Intn(high-low+1))
		}
		switch random.Intn(9) {
		case 0, 1, 2:
			return "*"
		case 3:
			return "?"
		case 4:
			return fmt.Sprintf("*/%d", 1+random.Intn(6))
		case 5:
			return fmt.Sprintf("%s/%d", number(), 1+random.Intn(9))
		case 6:
			a := low + random.Intn(high-low+1)
			return fmt.Sprintf("%d-%d", a, a+random.Intn(high-a+1))
		case 7:
			return number() + "," + number()
		}
		return number()
	}
	for range 1500 {
		fields := []string{
			field(0, 59), field(0, 23), field(1, 31), field(1, 12, "JAN", "feb", "Jul", "DEC"),
			field(0, 6, "SUN", "mon", "Fri"),
		}
		if random.Intn(25) == 0 {
			fields[4] = pick("7", "L", "5#2", "1-9", "")
		}
		w := v1alpha1.SyncWindow{
			Kind: "allow", Schedule: strings.Join(fields, " "),
			Duration: pick("1h", "30m", "90m", "8h", "24h", "1h30m", "48h", "10m30s"),
			TimeZone: pick("", "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"),
		}
		// The zone's offset is taken at the present time, so the moments stay close to it.
		now := time.Now().UTC().Truncate(time.Minute).Add(time.Duration(random.Intn(20160)-10080) * time.Minute)
		if random.Intn(3) == 0 {
			now = now.Add(time.Duration(random.Intn(60)) * time.Second)
		}
		is, err := active(w, now)
		row := map[string]any{"window": w, "now": now.Format(time.RFC3339), "active": is}
		if err != nil {
			row["active"] = nil
		}
		_ = out.Encode(row)
	}
	for _, pattern := range []string{"*", "web-*", "web-?", "{web,api}-*", "[a-c]*", "[!a-c]*", "web", "", "*{1,2}", "a{b,c{d,e}}*", "w*b", "**"} {
		for _, text := range []string{"web", "web-1", "api-2", "abc", "ace", "acd1", "db", "", "w/b", "x1"} {
			_ = out.Encode(map[string]any{"pattern": pattern, "text": text, "matches": glob.Match(pattern, text)})
		}
	}
}
