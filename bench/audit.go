package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// records are a made invocation log, and the program that reads it.
type records struct{ folder, program string }

func newRecords(ctx context.Context, b *bench) func() (records, error) {
	return sync.OnceValues(func() (records, error) {
		r := records{filepath.Join(b.folder, "log"), filepath.Join(b.folder, "audit")}
		if _, err := output(ctx, "", nil, "go", "build", "-o", r.program, "./cmd/audit"); err != nil {
			return r, err
		}
		return r, writeRecords(r.folder)
	})
}

// The jq programs are what one would type: they print, or compare, bodies as they are, where audit takes texts out of them
// and sorts records by their time.
const (
	jqList = `[.timestamp, (.requestMetadata.caller // .identity.arn), .modelId, .operation, .input.inputTokenCount, .output.outputTokenCount,` +
		` (.input.inputBodyJson | tostring[:100]), (.output.outputBodyJson | tostring[:100])] | @tsv`
	jqText   = `select([.input, .output] | tostring | contains("` + needle + `"))`
	jqCaller = `select((.requestMetadata.caller // .identity.arn) | endswith("` + needleCaller + `"))`
)

// reads has as many records listed by jq and by audit, which takes the arguments.
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
		for range 2 { // nothing to warm up: the log was just written
			theirs, n, _, err := lines(ctx, "sh", "-c", "find "+log.folder+" -name '*.json.gz' | xargs zcat | jq -rc '"+jq+"'")
			if err != nil {
				return s, fmt.Errorf("reference: %w", err)
			}
			ours, got, _, err := lines(ctx, log.program, append([]string{"list", "--dir", log.folder, "--function-role", functionRole}, arguments...)...)
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

// memoryOfReading is audit's when it lists all records, the reference when it lists half of them.
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

// lines runs a command: how long, how many lines it prints, and the most memory that it had.
func lines(ctx context.Context, name string, arguments ...string) (seconds float64, n int, mib float64, err error) {
	var count lineCounter
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Stdout, cmd.Stderr = &count, os.Stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, 0, fmt.Errorf("%s: %w", cmd, err)
	}
	seconds = time.Since(began).Seconds()
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return seconds, int(count), float64(usage.Maxrss) / 1024, nil
}

type lineCounter int

func (c *lineCounter) Write(b []byte) (int, error) {
	*c += lineCounter(bytes.Count(b, []byte("\n")))
	return len(b), nil
}
