// Package sandbox plays AWS on one machine for this project: moto, and exactly what moto lacks for it. It listens
// on loopback only, reads everything back from the emulated AWS APIs, and refuses where the policies deployed there
// would make AWS refuse.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/apigateway"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/athena"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/events"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// RootKey is both the id and the secret of the root user's access key.
const RootKey = iam.RootKey

// Options of a sandbox.
type Options struct {
	Region string
	// Folder for moto's output and the functions' executables.
	Folder string
	// AWS is the listener of the AWS endpoint.
	AWS net.Listener
	// Checksums has Bedrock send the checksum that S3 requires in a bucket with object lock. AWS does not say whether it does.
	Checksums bool
	// Report takes what a user should know and no response says, such as a record that was not delivered.
	Report func(error)
	// Alarm takes the first line of each message of an alarm or a rule. nil drops them.
	Alarm func(message string)
}

// Sandbox is an emulated AWS.
type Sandbox struct {
	AWSEndpointURL string

	options   Options
	moto      wire.Client
	account   string
	stopMoto  func()
	functions *lambda.Functions
	signers   *iam.Signers
	apis      *apigateway.APIs
	servers   []*http.Server
	metrics   *cloudwatch.Metrics
	stop      func() // ends what waits for time to pass
}

// Start starts moto and serves the AWS endpoint.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	folder, err := filepath.Abs(o.Folder) // functions run elsewhere
	if err != nil {
		return nil, err
	}
	o.Folder = folder
	moto, stopMoto, err := wire.StartMoto(ctx, o.Region, filepath.Join(o.Folder, "moto.log"))
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	s := &Sandbox{AWSEndpointURL: "http://" + o.AWS.Addr().String(), options: o, moto: moto, stopMoto: stopMoto, metrics: &cloudwatch.Metrics{}, stop: stop}
	if err := s.serveAWS(ctx); err != nil {
		s.Close()
		return nil, err
	}
	go (&cloudwatch.Alarms{Moto: s.moto, Account: s.account, Metrics: s.metrics, Topics: s.topics()}).Watch(watching, func(err error) { s.options.Report(fmt.Errorf("alarms: %w", err)) })
	return s, nil
}

func (s *Sandbox) serveAWS(ctx context.Context) (err error) {
	if s.account, err = s.moto.AccountID(ctx); err != nil {
		return err
	}
	aws := wire.Client{URL: s.AWSEndpointURL, Region: s.moto.Region}
	if s.functions, err = lambda.New(s.moto, aws, s.account, filepath.Join(s.options.Folder, "functions"), s.metrics, s.options.Report); err != nil {
		return err
	}
	s.signers, s.apis = iam.NewSigners(s.moto, s.account, s.functions.Session), apigateway.New(aws)
	kept := s3.NewBuckets(s.moto, s.account)
	log := invocationlog.New(s.moto, s.account, s.options.Checksums, kept, func(metric string, err error) {
		if metric != "" {
			s.metrics.Put("AWS/Bedrock", nil, map[string]float64{metric: 1})
		}
		s.options.Report(fmt.Errorf("invocation log: %w", err))
	})
	allowing := authorizer{moto: s.moto, account: s.account, caller: s.functions.Caller}
	models := bedrock.New(&bedrock.Runtime{Region: s.moto.Region, Account: s.account, Authorize: allowing.model, Deliver: log.Deliver})
	models.Authorize, models.Caller = allowing.control, s.callerOf
	endpoint, err := newEndpoint(s.moto, map[string][]service{
		"apigateway": {s.apis},
		"athena":     {athena.New(s.moto.Region, s.account)},
		"bedrock":    {models, log},
		"ec2":        {ec2.Service{}},
		"iam":        {s.signers},
		"lambda":     {s.functions},
		"logs":       {logs.NewMasks()},
		"s3":         {kept},
		"sts":        {s.signers},
	}, s.callerOf)
	if err != nil {
		return err
	}
	endpoint.events = &events.Bus{Moto: s.moto, Account: s.account, Topics: s.topics(), Failed: s.options.Report}
	s.serve(s.options.AWS, endpoint)
	return nil
}

func (s *Sandbox) topics() sns.Topics { return sns.Topics{Moto: s.moto, Alarm: s.options.Alarm} }

// callerOf names the caller by the access key that the request is signed with.
func (s *Sandbox) callerOf(r *http.Request) (arn string) {
	if arn, ok := s.functions.Session(wire.Credential(r)[0]); ok {
		return arn
	}
	return "arn:aws:iam::" + s.account + ":root"
}

func (s *Sandbox) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h}
	s.servers = append(s.servers, server)
	go server.Serve(l)
}

// ServeAPI serves calls to deployed private APIs; a plain address calls apiID through its own endpoint.
func (s *Sandbox) ServeAPI(l net.Listener, apiID string) {
	s.serve(l, s.frontDoor(apiID))
}

func (s *Sandbox) frontDoor(apiID string) *apigateway.FrontDoor {
	return &apigateway.FrontDoor{
		Moto: s.moto, Account: s.account, Functions: s.functions, Signers: s.signers, Deployed: s.apis.Deployed, APIID: apiID,
		Report: s.options.Report, Alarm: lambda.Clock, Metrics: s.metrics,
	}
}

// Close ends everything that Start and ServeAPI began.
func (s *Sandbox) Close() error {
	s.stop()
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	if s.functions != nil {
		s.functions.Close()
	}
	s.stopMoto()
	return errors.Join(errs...)
}
