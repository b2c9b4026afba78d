package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// records are a generated invocation log and the program that reads it. base is the program of another commit, if one
// is set.
type records struct{ folder, program, base string }

func newRecords(ctx context.Context, b *bench) func() (records, error) {
	return sync.OnceValues(func() (records, error) {
		r := records{filepath.Join(b.folder, "log"), filepath.Join(b.folder, "audit"), ""}
		if _, err := output(ctx, "", nil, "go", "build", "-o", r.program, "./cmd/audit"); err != nil {
			return r, err
		}
		if b.base != "" {
			source := filepath.Join(b.folder, "base")
			if err := os.Mkdir(source, 0o700); err != nil {
				return r, err
			}
			if _, err := output(ctx, "", nil, "sh", "-c", `git archive "$1" | tar -x -C "$2"`, "sh", b.base, source); err != nil {
				return r, err
			}
			r.base = filepath.Join(b.folder, "audit-base")
			if _, err := output(ctx, source, nil, "go", "build", "-o", r.base, "./cmd/audit"); err != nil {
				return r, err
			}
		}
		return r, writeRecords(r.folder)
	})
}

// The jq programs are those that a user would type. They print or search bodies unchanged. The audit command extracts
// texts from the bodies, and sorts records by time.
const (
	jqList = `[.timestamp, (.requestMetadata.caller // .identity.arn), .modelId, .operation, .input.inputTokenCount, .output.outputTokenCount,` +
		` (.input.inputBodyJson | tostring[:100]), (.output.outputBodyJson | tostring[:100])] | @tsv`
	jqText   = `select([.input, .output] | tostring | contains("` + needle + `"))`
	jqCaller = `select((.requestMetadata.caller // .identity.arn) | endswith("` + needleCaller + `"))`
)

// reads measures the same listing by jq and by audit with these arguments.
func reads(jq string, arguments ...string) func(context.Context, *bench) (samples, error) {
	return func(ctx context.Context, b *bench) (samples, error) {
		if _, err := exec.LookPath("jq"); err != nil {
			return samples{}, errAbsent("not measured: jq is not installed")
		}
		log, err := b.records()
		if err != nil {
			return samples{}, err
		}
		var s samples
		for range 2 { // no warm-up, because the log was just written
			theirs, n, _, err := lines(ctx, "sh", "-c", "find "+log.folder+" -name '*.json.gz' | xargs zcat | jq -rc '"+jq+"'")
			if err != nil {
				return s, fmt.Errorf("reference: %w", err)
			}
			ours, got, _, err := lines(ctx, log.program, log.list(arguments)...)
			if err != nil {
				return s, err
			}
			if got == 0 || got != n {
				return s, fmt.Errorf("audit lists %d records, jq %d", got, n)
			}
			s.reference, s.measured = append(s.reference, theirs), append(s.measured, ours)
		}
		return s, nil
	}
}

// The queries print the same columns as jqList. DuckDB parses fastest with explicit columns, and compares text
// case-sensitively.
const (
	duckSource = `read_json('%s/**/*.json.gz', format = 'newline_delimited', maximum_object_size = 1 << 30, columns = {timestamp: 'VARCHAR',` +
		` modelId: 'VARCHAR', operation: 'VARCHAR', requestMetadata: 'STRUCT(caller VARCHAR)', identity: 'STRUCT(arn VARCHAR)',` +
		` input: 'STRUCT(inputBodyJson JSON, inputTokenCount BIGINT)', output: 'STRUCT(outputBodyJson JSON, outputTokenCount BIGINT)'})`
	duckList = `SELECT timestamp, coalesce(requestMetadata.caller, identity.arn) AS caller, modelId, operation, input.inputTokenCount,` +
		` output.outputTokenCount, left(input.inputBodyJson::VARCHAR, 100), left(output.outputBodyJson::VARCHAR, 100) FROM ` + duckSource
	duckText   = duckList + ` WHERE contains(input.inputBodyJson::VARCHAR, '` + needle + `') OR contains(output.outputBodyJson::VARCHAR, '` + needle + `')`
	duckCaller = duckList + ` WHERE ends_with(caller, '` + needleCaller + `')`
)

var (
	duckListTime, duckListMemory     = againstDuckDB(duckList)
	duckTextTime, duckTextMemory     = againstDuckDB(duckText, "--text", needle)
	duckCallerTime, duckCallerMemory = againstDuckDB(duckCaller, "--caller", needleCaller)
)

// newDuckDB installs the version of DuckDB that bench/duckdb pins.
func newDuckDB(ctx context.Context, b *bench) func() (folder string, err error) {
	return sync.OnceValues(func() (string, error) {
		for _, program := range []string{"node", "npm"} {
			if _, err := exec.LookPath(program); err != nil {
				return "", errAbsent("not measured: " + program + " is not installed")
			}
		}
		folder := filepath.Join(b.folder, "duckdb")
		if err := os.CopyFS(folder, os.DirFS("bench/duckdb")); err != nil {
			return "", err
		}
		if _, err := output(ctx, folder, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return "", errAbsent("not measured: npm cannot install DuckDB")
		}
		return folder, nil
	})
}

// againstDuckDB measures the same query by DuckDB and by audit. The figures of time and memory come from the same runs.
func againstDuckDB(query string, arguments ...string) (seconds, mib func(context.Context, *bench) (samples, error)) {
	var s, m samples
	var err error
	var once sync.Once
	both := func(ctx context.Context, b *bench) error {
		duckdb, err := b.duckdb()
		if err != nil {
			return err
		}
		log, err := b.records()
		if err != nil {
			return err
		}
		rows := 0
		s, err = inTurn(5, func() (float64, error) {
			var stderr bytes.Buffer
			cmd := exec.CommandContext(ctx, "node", "read.js", fmt.Sprintf(query, log.folder)+" ORDER BY timestamp")
			cmd.Dir, cmd.Stderr = duckdb, &stderr
			_, n, peak, err := counted(cmd)
			if err != nil {
				return 0, fmt.Errorf("%w\n%s", err, stderr.String())
			}
			rows, m.reference = n, append(m.reference, peak)
			return strconv.ParseFloat(strings.TrimSpace(stderr.String()), 64)
		}, func() (float64, error) {
			took, n, peak, err := lines(ctx, log.program, log.list(arguments)...)
			if err == nil && (n == 0 || n != rows) {
				err = fmt.Errorf("audit lists %d records, DuckDB %d", n, rows)
			}
			m.measured = append(m.measured, peak)
			return took, err
		})
		s.profile, m.profile = log.profile("-cpuprofile", arguments), log.profile("-memprofile", arguments)
		return err
	}
	of := func(figure *samples) func(context.Context, *bench) (samples, error) {
		return func(ctx context.Context, b *bench) (samples, error) {
			once.Do(func() { err = both(ctx, b) })
			return *figure, err
		}
	}
	return of(&s), of(&m)
}

// againstBase measures the same command by the audit of the commit that the flag base sets.
func againstBase(arguments ...string) func(context.Context, *bench) (samples, error) {
	return func(ctx context.Context, b *bench) (samples, error) {
		if b.base == "" {
			return samples{}, errAbsent("not measured: no commit was named, as by make bench BASE=v1.0.0")
		}
		log, err := b.records()
		if err != nil {
			return samples{}, err
		}
		list := func(program string, arguments []string) func() (float64, error) {
			return func() (float64, error) {
				took, _, _, err := lines(ctx, program, arguments...)
				return took, err
			}
		}
		ours := log.list(arguments)
		theirs := ours
		if help, err := output(ctx, "", nil, log.base, "list", "--help"); err != nil {
			return samples{}, err
		} else if !strings.Contains(help, "-function-role") { // an older version, which trusts the metadata of every record
			theirs = append([]string{"list", "--dir", log.folder}, arguments...)
		}
		s, err := inTurn(5, list(log.base, theirs), list(log.program, ours))
		s.profile = log.profile("-cpuprofile", arguments)
		return s, err
	}
}

func (r records) list(arguments []string) []string {
	return append([]string{"list", "--dir", r.folder, "--function-role", functionRole}, arguments...)
}

// profile returns where audit spends time or memory when it lists all records: the first lines of pprof.
func (r records) profile(kind string, arguments []string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		file, program := r.program+kind, r.program+".test"
		environment := append(os.Environ(), "GOGC=400", "AUDIT_ARGUMENTS="+strings.Join(r.list(arguments), " "))
		if _, err := output(ctx, "", environment, "go", "test", "-run", "^$", "-bench", "^BenchmarkRun$", "-benchtime", "1x", kind, file, "-o", program, "./cmd/audit"); err != nil {
			return "", err
		}
		index := map[string]string{"-cpuprofile": "cpu", "-memprofile": "alloc_space"}[kind]
		return output(ctx, "", nil, "go", "tool", "pprof", "-top", "-nodecount", "12", "-sample_index", index, program, file)
	}
}

// memoryOfReading measures audit's memory when it lists all records. The reference lists half of them.
func memoryOfReading(ctx context.Context, b *bench) (samples, error) {
	log, err := b.records()
	if err != nil {
		return samples{}, err
	}
	peak := func(n int) func() (float64, error) {
		return func() (float64, error) {
			_, got, mib, err := lines(ctx, log.program, "list", "--dir", log.folder, "--function-role", functionRole, "--until", firstRecord.Add(time.Duration(n)*time.Second).Format(time.RFC3339))
			if err == nil && got != n {
				err = fmt.Errorf("audit lists %d records, want %d", got, n)
			}
			return mib, err
		}
	}
	return inTurn(2, peak(recordCount/2), peak(recordCount))
}

// lines runs a command, and returns its time, its number of lines, and its maximum memory.
func lines(ctx context.Context, name string, arguments ...string) (seconds float64, n int, mib float64, err error) {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Stderr = os.Stderr
	return counted(cmd)
}

func counted(cmd *exec.Cmd) (seconds float64, n int, mib float64, err error) {
	var count lineCounter
	cmd.Stdout = &count
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	ended, peak := make(chan struct{}), make(chan float64)
	go func() { peak <- mostResident(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	seconds = time.Since(began).Seconds()
	close(ended)
	mib = <-peak
	if err != nil {
		err = fmt.Errorf("%s: %w", cmd, err)
	}
	return seconds, int(count), mib, err
}

// mostResident samples a process until it ends. The maximum that wait4(2) reports doesn't help: a child of vfork(2)
// begins with its parent's memory, and this parent is larger than audit.
func mostResident(pid int, ended <-chan struct{}) (mib float64) {
	for {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			if kib, err := strconv.ParseFloat(field(status, "VmHWM"), 64); err == nil {
				mib = kib / 1024
			}
		}
		select {
		case <-ended:
			return mib
		case <-time.After(2 * time.Millisecond):
		}
	}
}

type lineCounter int

func (c *lineCounter) Write(b []byte) (int, error) {
	*c += lineCounter(bytes.Count(b, []byte("\n")))
	return len(b), nil
}
