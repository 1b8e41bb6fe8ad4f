package syncrun

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// gcPercent trades a little time for memory: what a run holds of a large list is
// needed until its end, and a heap that grows to twice that is paid for by the second.
const gcPercent = 20

// Environment looks a variable up; os.LookupEnv in a function.
type Environment = func(key string) (value string, ok bool)

// Main is a sync function's process: it wires the function and hands it to start, its platform's
// runtime. What is wrong with the environment it explains in the log, and ends the process.
func Main(name string, env Environment, wire func(context.Context, Environment, io.Writer) (*Function, error), start func(*Function)) {
	debug.SetGCPercent(gcPercent)
	f, err := wire(context.Background(), env, os.Stdout)
	if err != nil {
		settings.Explain(telemetry.New(os.Stdout, name), err)
		os.Exit(1)
	}
	start(f)
}

// Open completes a function that has its name, kind, cloud, inputs and walls: with the settings, the
// store that they name, the machine's clock, and a log and metrics, in the cloud's format, on out. It makes no call.
func Open(ctx context.Context, f Function, s Settings, out io.Writer, format telemetry.Format) (*Function, error) {
	list, err := redisstore.Open(ctx, s.RedisURL.Reveal(), redisstore.Dialling())
	if err != nil {
		return nil, err
	}
	ranges, err := intelstore.Open(ctx, s.RedisURL.Reveal(), time.Now)
	if err != nil {
		return nil, err
	}
	// What is published for crawlers and partners is spared on the walls, too.
	f.List, f.Enforce, f.Wait, f.Now = intelstore.List{Store: list, Ranges: ranges}, s.Enforce, s.Wait, time.Now
	f.Log, f.Metrics = telemetry.New(out, f.Name), telemetry.NewMetrics(out, time.Now, format, f.Name)
	return &f, nil
}

// Walls makes one wall for each target, in order of name. make names the wall also when it fails.
func Walls[T any](targets []T, make func(T) (enforce.Wall, error)) ([]enforce.Wall, error) {
	var walls []enforce.Wall
	for _, t := range targets {
		wall, err := make(t)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", wall.Name, err)
		}
		walls = append(walls, wall)
	}
	slices.SortFunc(walls, func(a, b enforce.Wall) int { return strings.Compare(a.Name, b.Name) })
	return walls, nil
}
