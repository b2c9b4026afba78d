// Package cloudwatch keeps the metrics of the parts that the sandbox plays itself, and evaluates the deployed alarms by them.
package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Metrics are CloudWatch's, of the parts that the sandbox plays itself, for an hour. nil drops them.
type Metrics struct {
	mu      sync.Mutex
	samples []Sample
	changed bool
}

// Sample is one value of a metric.
type Sample struct {
	Namespace, Metric string
	Dimensions        map[string]string
	Value             float64
	At                time.Time
}

// Put adds one value to each metric.
func (m *Metrics) Put(namespace string, dimensions map[string]string, values map[string]float64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.changed = true
	m.samples = slices.DeleteFunc(m.samples, func(s Sample) bool { return now.Sub(s.At) > time.Hour })
	for metric, value := range values {
		m.samples = append(m.samples, Sample{namespace, metric, dimensions, value, now})
	}
}

// Embedded puts the metrics of a line of a function's log (CloudWatch User Guide, "Specification: Embedded metric format").
func (m *Metrics) Embedded(line string) {
	var fields map[string]any
	var of struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if json.Unmarshal([]byte(line), &fields) != nil || json.Unmarshal([]byte(line), &of) != nil {
		return
	}
	for _, directive := range of.AWS.CloudWatchMetrics {
		values := map[string]float64{}
		for _, metric := range directive.Metrics {
			if value, ok := fields[metric.Name].(float64); ok {
				values[metric.Name] = value
			}
		}
		for _, names := range directive.Dimensions {
			dimensions := map[string]string{}
			for _, name := range names {
				dimensions[name] = fmt.Sprint(fields[name])
			}
			m.Put(directive.Namespace, dimensions, values)
		}
	}
}

// MetricAlarm is what CloudWatch knows of an alarm (CloudWatch API Reference, "MetricAlarm").
type MetricAlarm struct {
	Name               string `xml:"AlarmName"`
	Arn                string `xml:"AlarmArn"`
	Description        string `xml:"AlarmDescription"`
	ActionsEnabled     bool
	StateValue         string
	AlarmActions       []string `xml:"AlarmActions>member"`
	OKActions          []string `xml:"OKActions>member"`
	Namespace          string
	MetricName         string
	Statistic          string
	ExtendedStatistic  string
	Dimensions         []struct{ Name, Value string } `xml:"Dimensions>member"`
	Period             int
	EvaluationPeriods  int
	Threshold          float64
	ComparisonOperator string
	TreatMissingData   string
	Queries            []struct {
		Expression string
		Period     int
	} `xml:"Metrics>member"`
}

var metricsQuery = regexp.MustCompile(`^SELECT (SUM|MAX)\((\w+)\) FROM "?([\w/]+)"?(?: WHERE (\w+) = '([^']*)')?$`)

// State is the alarm's by the data, at a time (CloudWatch User Guide, "Alarm evaluation"). A query adds up every series; an
// alarm on a metric has the one with exactly its dimensions.
func (a MetricAlarm) State(samples []Sample, now time.Time) (string, error) {
	period, counts := a.Period, func(s Sample) bool {
		of := map[string]string{}
		for _, d := range a.Dimensions {
			of[d.Name] = d.Value
		}
		return s.Namespace == a.Namespace && s.Metric == a.MetricName && maps.Equal(s.Dimensions, of)
	}
	statistic := a.Statistic + a.ExtendedStatistic
	if len(a.Queries) > 0 {
		q := metricsQuery.FindStringSubmatch(a.Queries[0].Expression)
		if q == nil {
			return "", fmt.Errorf("alarm %s: query %q is not understood", a.Name, a.Queries[0].Expression)
		}
		statistic, period = map[string]string{"SUM": "Sum", "MAX": "p100"}[q[1]], a.Queries[0].Period
		counts = func(s Sample) bool {
			return s.Metric == q[2] && s.Namespace == q[3] && (q[4] == "" || s.Dimensions[q[4]] == q[5])
		}
	}
	if a.ComparisonOperator != "GreaterThanOrEqualToThreshold" || a.TreatMissingData != "notBreaching" || period < 1 || a.EvaluationPeriods < 1 {
		return "", fmt.Errorf("alarm %s: %s, missing data %s, %d periods of %d s are not understood", a.Name, a.ComparisonOperator, a.TreatMissingData, a.EvaluationPeriods, period)
	}
	for i := range a.EvaluationPeriods {
		end := now.Add(-time.Duration(i*period) * time.Second)
		var values []float64
		for _, s := range samples {
			if age := end.Sub(s.At); counts(s) && age >= 0 && age < time.Duration(period)*time.Second {
				values = append(values, s.Value)
			}
		}
		value, err := statisticOf(statistic, values)
		if err != nil {
			return "", fmt.Errorf("alarm %s: %w", a.Name, err)
		}
		if len(values) == 0 || value < a.Threshold {
			return "OK", nil
		}
	}
	return "ALARM", nil
}

func statisticOf(statistic string, values []float64) (result float64, err error) {
	if percent, err := strconv.ParseFloat(strings.TrimPrefix(statistic, "p"), 64); err == nil && len(values) > 0 {
		slices.Sort(values)
		return values[int(math.Ceil(percent/100*float64(len(values))))-1], nil
	} else if err != nil && statistic != "Sum" {
		return 0, fmt.Errorf("statistic %q is not understood", statistic)
	}
	for _, value := range values {
		result += value
	}
	return result, nil
}

// Alarms sets deployed alarms' states by the metrics, and tells their topics.
type Alarms struct {
	Moto    wire.Client
	Account string
	Metrics *Metrics
	Topics  sns.Topics
}

// Watch evaluates each second when there is something new, or an alarm that may be over; CloudWatch does each minute.
func (a *Alarms) Watch(ctx context.Context, failed func(error)) {
	ringing, last := false, ""
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		a.Metrics.mu.Lock()
		samples, changed := slices.Clone(a.Metrics.samples), a.Metrics.changed
		a.Metrics.changed = false
		a.Metrics.mu.Unlock()
		if !changed && !ringing {
			continue
		}
		var err error
		if ringing, err = a.evaluate(ctx, samples, time.Now()); err != nil && ctx.Err() == nil && err.Error() != last {
			failed(err)
			last = err.Error()
		}
	}
}

func (a *Alarms) evaluate(ctx context.Context, samples []Sample, now time.Time) (ringing bool, err error) {
	deployed, err := MetricAlarms(ctx, a.Moto)
	errs := []error{err}
	for _, alarm := range deployed {
		state, err := alarm.State(samples, now)
		ringing = ringing || state == "ALARM"
		if err != nil || state == alarm.StateValue {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, a.Moto.Query(ctx, "monitoring", Version, "SetAlarmState", map[string]string{"AlarmName": alarm.Name, "StateValue": state, "StateReason": "data"}, &struct{}{}))
		actions := alarm.AlarmActions
		if state == "OK" {
			actions = alarm.OKActions
		}
		source := map[string][]string{"aws:SourceArn": {alarm.Arn}, "aws:SourceAccount": {a.Account}}
		for _, topic := range actions {
			if alarm.ActionsEnabled {
				errs = append(errs, a.Topics.Publish(ctx, topic, "cloudwatch.amazonaws.com", source, source, alarm.Name+" is "+state+"\n"+alarm.Description))
			}
		}
	}
	return ringing, errors.Join(errs...)
}

// Version is that of the API.
const Version = "2010-08-01"

// MetricAlarms reads the deployed alarms.
func MetricAlarms(ctx context.Context, c wire.Client) ([]MetricAlarm, error) {
	var out struct {
		Alarms []MetricAlarm `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	err := c.Query(ctx, "monitoring", Version, "DescribeAlarms", nil, &out)
	return out.Alarms, err
}
