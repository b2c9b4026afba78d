// Command bench measures the project's promised speed and size. It measures each figure and its reference in the same
// run.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const usage = `Measures start, calls, streams, memory, reading the log, size and deployment, each against a reference in the same
run, and writes bench/RESULTS.md. Takes some minutes; a goal that is missed is printed as missed and is no failure.
Run it in the project's folder, on a machine that does nothing else.

usage: go run ./bench [flags]

`

const resultsFile = "bench/RESULTS.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := error(nil)
	if len(os.Args) == 2 && os.Args[1] == standInArgument {
		err = serveStandIn()
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	only := flags.String("only", "", "measure the figures whose name matches this `regexp`, and write no file")
	base := flags.String("base", "", "measure reading against the audit of this `commit` too")
	asJSON := flags.Bool("json", false, "print JSON, one figure a line")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("only: %w", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("got %q, want flags only; see --help", flags.Arg(0))
	}
	folder, err := os.MkdirTemp("", "bedrock-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b, err := newBench(ctx, folder, *base)
	if err != nil {
		return err
	}
	defer b.standIn.stop()

	began := time.Now()
	var results []result
	var errs []error
	for _, f := range figures {
		if !wanted.MatchString(f.name + " " + f.reference) {
			continue
		}
		fmt.Fprintf(stderr, "[%4.0fs] %s, against: %s\n", time.Since(began).Seconds(), f.name, f.reference)
		s, err := b.measure(ctx, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := newResult(f, s, err)
		if r.Verdict == notMeasured {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
		}
		if r.Verdict == missed && s.profile != nil {
			if r.Profile, err = s.profile(ctx); err != nil {
				errs = append(errs, fmt.Errorf("profile of %s: %w", f.name, err))
			}
		}
		results = append(results, r)
	}
	fmt.Fprintf(stderr, "[%4.0fs] done\n", time.Since(began).Seconds())
	if *asJSON {
		for _, r := range results {
			if err := json.NewEncoder(stdout).Encode(r); err != nil {
				return err
			}
		}
	} else {
		fmt.Fprint(stdout, table(results), profiles(results))
	}
	if *only == "" {
		errs = append(errs, os.WriteFile(resultsFile, page(results, time.Now()), 0o644))
	}
	return errors.Join(errs...)
}

// measure measures one figure, and ends every process that it started.
func (b *bench) measure(ctx context.Context, f figure) (samples, error) {
	defer b.running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return f.measure(ctx, b)
}

// result is a measured figure: medians, and the number of measurements.
type result struct {
	Figure         string   `json:"figure"`
	Reference      string   `json:"reference"`
	ReferenceValue *float64 `json:"referenceValue"` // if nil, not measured
	Measured       *float64 `json:"measured"`
	Ratio          *float64 `json:"ratio"`
	Unit           string   `json:"unit"`
	N              int      `json:"n"`
	Goal           string   `json:"goal"`
	Verdict        string   `json:"verdict"`
	Profile        string   `json:"profile,omitempty"` // if the goal is missed
}

const (
	notMeasured = "NOT MEASURED"
	missed      = "MISSED"
)

func newResult(f figure, s samples, err error) result {
	r := result{Figure: f.name, Reference: f.reference, Unit: f.unit, Goal: f.goal, N: len(s.measured)}
	absent := errAbsent("")
	switch {
	case errors.As(err, &absent):
		r.Verdict = absent.Error()
		return r
	case err != nil:
		r.Verdict = notMeasured
		return r
	}
	reference, measured := median(s.reference), median(s.measured)
	r.Measured = &measured
	if len(s.reference) > 0 {
		ratio := measured / reference
		r.ReferenceValue, r.Ratio = &reference, &ratio
	}
	switch {
	case f.met == nil:
		r.Verdict = "–"
	case f.met(reference, measured):
		r.Verdict = "met"
	default:
		r.Verdict = missed
	}
	return r
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// table returns a Markdown table that is aligned for a terminal.
func table(results []result) string {
	rows := [][]string{{"figure", "reference", "measured", "ratio", "goal", "verdict", "n"}}
	for _, r := range results {
		reference, n := r.Reference, fmt.Sprint(r.N)
		if r.ReferenceValue != nil {
			reference += ": " + value(r.ReferenceValue, r.Unit)
		}
		if r.Measured == nil {
			n = "–"
		}
		rows = append(rows, []string{r.Figure, orDash(reference), value(r.Measured, r.Unit), value(r.Ratio, "×"), orDash(r.Goal), r.Verdict, n})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		for j, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", widths[j]-len([]rune(cell))+1))
		}
		b.WriteString("|\n")
		if i == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// profiles returns the profiles of the missed goals.
func profiles(results []result) string {
	var b strings.Builder
	for _, r := range results {
		if r.Profile != "" {
			fmt.Fprintf(&b, "\n%s, against %s: %s\n\n```text\n%s\n```\n", r.Figure, r.Reference, missed, r.Profile)
		}
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func value(v *float64, unit string) string {
	switch {
	case v == nil:
		return "–"
	case *v < 0.1:
		return fmt.Sprintf("%.3f %s", *v, unit)
	}
	return fmt.Sprintf("%.*f %s", min(2, max(0, 3-len(fmt.Sprint(int(*v))))), *v, unit)
}

// page returns the content of bench/RESULTS.md.
func page(results []result, now time.Time) []byte {
	return fmt.Appendf(nil, `# Measured
By `+"`make bench`"+`, %s, on %s.

<!-- table -->
%s<!-- /table -->
%s%s`, now.Format(time.DateOnly), machine(), table(results), notes, profiles(results))
}

const notes = `
Each figure and its reference were measured in one run, in turn: reference, ours, reference, ours, …. The values are
medians, and n is the number of measurements of each. The function is the executable of the deployed zip, built for this
machine. It runs as in Lambda, behind the benchmark's own Lambda Runtime API on the loopback interface.

- **Start**: from the execution of the process to its first request for an event.
- **Calls**: from the delivery of the event to the last byte of the response, or to the first byte of a stream's body. For
  the SDK: from the call to its return, or to the first event. Bedrock is a stub in a separate process that responds at
  once, so only the time between remains; a model takes seconds. Each call through a function contains the two requests of
  the Runtime API. They cost more than the goal allows in addition to the SDK's call. To see what our function adds,
  compare it with the function that only calls the SDK. To see what a function costs, compare it with the SDK's direct
  call. Several callers each have an instance of the function, as in Lambda, or an SDK client in one process.
- **Memory**: resident set of the process, as Linux counts it; its maximum where the figure says "most memory".
- **Records**: made of the samples in ` + "`audit/testdata`" + `, 5 KB each on average, 50 per object, in Bedrock's layout on disk.
  jq prints or searches bodies unchanged. ` + "`audit list`" + ` extracts their texts, searches in any case, and sorts by time. On
  two cores, unzipping alone takes most of the time of a search by caller. DuckDB prints the same as jq, sorts by time, and
  compares text case-sensitively. Its time excludes the start of Node.js, which runs it; its memory is that of the process.
  For each missed goal against DuckDB or another commit, a profile of ` + "`audit list`" + ` follows: lines of ` + "`go tool pprof -top`" + `,
  of time or of allocated memory.
- **Compilation**: ` + "`go build`" + ` of the Pulumi program, including links; once with an empty cache, n times with a full one.
- **Preview, plan**: each against its own emulated AWS on this machine, where the stack was deployed before. The Pulumi
  program declares more resources than the seed, and builds the function each time.
`

// machine describes the hardware and software that the figures depend on.
func machine() string {
	read := func(file, name string) string {
		content, err := os.ReadFile(file)
		if err != nil {
			return "unknown"
		}
		if name == "" {
			return string(bytes.TrimSpace(content))
		}
		return field(content, name)
	}
	var kib float64
	fmt.Sscan(read("/proc/meminfo", "MemTotal"), &kib)
	return fmt.Sprintf("%s, %d cores, %.0f GiB of memory, Linux %s, %s", read("/proc/cpuinfo", "model name"), runtime.NumCPU(), kib/(1<<20),
		read("/proc/sys/kernel/osrelease", ""), runtime.Version())
}

// field returns the value of "name: value" in a file of /proc, without a kB unit.
func field(content []byte, name string) string {
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s*:\s*(.*?)( kB)?$`).FindSubmatch(content)
	if match == nil {
		return "unknown"
	}
	return string(match[1])
}
