package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/audit"
	"github.com/spf13/cobra"
)

// use sums up the calls of a day, a model or a caller.
type use struct {
	Name                                       string
	Calls, Failed                              int
	Input, Output, CacheRead, CacheWrite, Most int64
}

func (u *use) add(e audit.Entry) {
	u.Calls++
	if e.ErrorCode != "" {
		u.Failed++
	}
	u.Input += e.InputTokenCount
	u.Output += e.OutputTokenCount
	u.CacheRead += e.CacheReadInputTokenCount
	u.CacheWrite += e.CacheWriteInputTokenCount
}

// Tokens returns the sum of all kinds of tokens. Their prices differ.
func (u *use) Tokens() int64 { return u.Input + u.Output + u.CacheRead + u.CacheWrite }

// Share returns the tokens as a percentage of the largest use's.
func (u *use) Share(tokens int64) float64 { return float64(tokens) / float64(max(u.Most, 1)) * 100 }

// PerCall returns the tokens per call.
func (u *use) PerCall() int64 { return u.Tokens() / int64(max(u.Calls, 1)) }

type uses map[string]*use

func (u uses) of(name string) *use {
	if u[name] == nil {
		u[name] = &use{Name: name}
	}
	return u[name]
}

// ranked returns the uses, those with the most tokens first.
func (u uses) ranked() []*use {
	var all []*use
	for _, one := range u {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *use) int {
		return cmp.Or(cmp.Compare(b.Tokens(), a.Tokens()), cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Name, b.Name))
	})
	for _, one := range all {
		one.Most = all[0].Tokens()
	}
	return all
}

// chart has a bar for each day. Its axis ends at Top, a round number.
type chart struct {
	Title      string
	Keys       []key
	Top, Half  int64
	Width      float64
	Bars       []bar
	First, Mid string // days; Mid is empty if First and Last have no day between them
	Last       string
}

type key struct{ Class, Name string }

// bar is a day's bar. Its parts are stacked. Heights are percentages of the chart's height.
type bar struct {
	*use
	X, Width float64
	Parts    []part
}

type part struct {
	Class     string
	Y, Height float64
}

const chartWidth = 800

// everyDay returns a use for each day from the first to the last. If they span over a year, it omits days without calls.
func everyDay(days uses) (all []*use) {
	for _, one := range days {
		all = append(all, one)
	}
	byName := func(a, b *use) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(all, byName)
	if len(all) == 0 {
		return nil
	}
	first, _ := time.Parse(time.DateOnly, all[0].Name)
	last, _ := time.Parse(time.DateOnly, all[len(all)-1].Name)
	if last.Sub(first) < 366*24*time.Hour {
		for day := first; day.Before(last); day = day.AddDate(0, 0, 1) {
			if name := day.Format(time.DateOnly); days[name] == nil {
				all = append(all, &use{Name: name})
			}
		}
		slices.SortFunc(all, byName)
	}
	return all
}

// newChart stacks the keys' counts of each day, the first at the bottom.
func newChart(title string, days []*use, keys []key, counts func(*use) []int64) chart {
	c := chart{Title: title, Keys: keys, Width: chartWidth}
	if len(days) == 0 {
		return c
	}
	most := int64(1)
	for _, day := range days {
		sum := int64(0)
		for _, n := range counts(day) {
			sum += n
		}
		most = max(most, sum)
	}
	c.Top = roundUp(most)
	c.Half = c.Top / 2
	width := chartWidth / float64(len(days))
	for i, day := range days {
		b := bar{use: day, X: float64(i) * width, Width: min(max(width*0.8, 0.5), 60)}
		b.X += (width - b.Width) / 2
		y := 100.0
		for j, n := range counts(day) {
			height := float64(n) / float64(c.Top) * 100
			y -= height
			b.Parts = append(b.Parts, part{keys[j].Class, y, height})
		}
		c.Bars = append(c.Bars, b)
	}
	c.First, c.Last = days[0].Name, days[len(days)-1].Name
	if len(days) > 4 {
		c.Mid = days[len(days)/2].Name
	}
	return c
}

// roundUp returns the next even number of one digit and zeros.
func roundUp(n int64) int64 {
	unit := int64(1)
	for (n-1)/20 >= unit { // 20*unit could overflow
		unit *= 10
	}
	return (n + 2*unit - 1) / (2 * unit) * 2 * unit
}

//go:embed report.html
var page string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": func(n any) string { // 1,234,567
		text := fmt.Sprint(n)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	},
	"short": func(n int64) string { // 1.2 million
		switch {
		case n >= 1e9:
			return strconv.FormatFloat(float64(n)/1e9, 'g', -1, 64) + " G"
		case n >= 1e6:
			return strconv.FormatFloat(float64(n)/1e6, 'g', -1, 64) + " M"
		case n >= 1e4:
			return strconv.FormatFloat(float64(n)/1e3, 'g', -1, 64) + " k"
		}
		return strconv.FormatInt(n, 10)
	},
}).Parse(page))

// tokenKeys are the kinds of tokens that have prices of their own.
var tokenKeys = []key{{"input", "in"}, {"read", "cache read"}, {"write", "cache written"}, {"output", "out"}}

func (o *options) reportCommand() *cobra.Command {
	c := o.command(&cobra.Command{
		Use:     "report",
		Short:   "Print an HTML page: calls and tokens by day, model and caller",
		Long:    `Prints one HTML page: calls and tokens by day, model and caller. It contains no prompts and no responses.`,
		Example: `  go run ./cmd/audit report --stack dev > use.html`,
	}, report)
	o.callerFlags(c)
	return c
}

// report prints no prompt and no response: a reader of the costs need not see what was said.
func report(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
	total, days, models, callers := &use{}, uses{}, uses{}, uses{}
	var first, last time.Time
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		if first.IsZero() {
			first = e.Timestamp
		}
		last = e.Timestamp
		day := days.of(e.Timestamp.Format(time.DateOnly))
		for _, u := range []*use{total, day, models.of(e.ModelID), callers.of(e.Caller)} {
			u.add(e)
		}
	}
	all := everyDay(days)
	return reportPage.Execute(out, map[string]any{
		"Total": total, "First": first, "Last": last, "Caller": q.Caller, "Model": q.Model, "Days": all,
		"Charts": []chart{
			newChart("Calls by day", all, []key{{"calls", "answered"}, {"failed", "failed"}},
				func(u *use) []int64 { return []int64{int64(u.Calls - u.Failed), int64(u.Failed)} }),
			newChart("Tokens by day", all, tokenKeys,
				func(u *use) []int64 { return []int64{u.Input, u.CacheRead, u.CacheWrite, u.Output} }),
		},
		"Keys": tokenKeys,
		"Tables": []struct {
			Title, Of string
			Rows      []*use
		}{{"By model", "model", models.ranked()}, {"By caller", "caller", callers.ranked()}},
	})
}
