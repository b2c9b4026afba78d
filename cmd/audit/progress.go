package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress is a line on a terminal that overwrites itself. It shows how far reading has come from the first time to the
// last, because the number of objects is unknown until the end.
type progress struct {
	to         io.Writer
	on         bool
	begin, end time.Time // if zero: the first object's delivery, and now
	shown      time.Time
}

const barWidth = 30

func (p *progress) show(objects int, delivered time.Time) {
	if p.begin.IsZero() {
		p.begin = delivered
	}
	if !p.on || time.Since(p.shown) < 200*time.Millisecond {
		return
	}
	p.shown = time.Now()
	end := p.end
	if end.IsZero() || end.After(p.shown) {
		end = p.shown
	}
	done := 0.0
	if all := end.Sub(p.begin); all > 0 {
		done = min(max(float64(delivered.Sub(p.begin))/float64(all), 0), 1)
	}
	filled := int(done * barWidth)
	fmt.Fprintf(p.to, "\r[%s%s] %3.0f%%, %s, %d objects read", strings.Repeat("=", filled),
		strings.Repeat(" ", barWidth-filled), done*100, delivered.Format("2006-01-02 15:04"), objects)
}

func (p *progress) wipe() {
	if p.on && !p.shown.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = time.Time{}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
