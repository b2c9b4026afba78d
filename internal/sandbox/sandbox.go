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
	"strings"
	"sync"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// Options of a sandbox.
type Options struct {
	Region string
	// Folder for moto's output and the functions' executables.
	Folder string
	// AWS is the listener of the AWS endpoint.
	AWS net.Listener
	// Checksums has Bedrock send what S3 asks of whoever writes to a bucket with object lock. AWS does not say whether it does.
	Checksums bool
	// Report is told of what a user should know and no answer says, such as a record that was not delivered.
	Report func(error)
	// Alarm is told the first line of each message of an alarm or a rule. nil is nobody.
	Alarm func(message string)
}

// Sandbox is an emulated AWS.
type Sandbox struct {
	AWSEndpointURL string

	options   Options
	moto      client
	account   string
	stopMoto  func()
	functions *functions
	endpoint  *endpoint
	servers   []*http.Server
	metrics   *metrics
	stop      func() // ends what waits for time to pass
}

// Start starts moto and serves the AWS endpoint.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	folder, err := filepath.Abs(o.Folder) // functions run elsewhere
	if err != nil {
		return nil, err
	}
	o.Folder = folder
	moto, stopMoto, err := startMoto(ctx, o.Region, filepath.Join(o.Folder, "moto.log"))
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	s := &Sandbox{AWSEndpointURL: "http://" + o.AWS.Addr().String(), options: o, moto: moto, stopMoto: stopMoto, metrics: &metrics{}, stop: stop}
	if err := s.serveAWS(ctx); err != nil {
		s.Close()
		return nil, err
	}
	told := topics{s.moto, s.options.Alarm}
	go (&alarms{moto: s.moto, account: s.account, metrics: s.metrics, topics: told}).watch(watching, func(err error) { s.options.Report(fmt.Errorf("alarms: %w", err)) })
	return s, nil
}

func (s *Sandbox) serveAWS(ctx context.Context) (err error) {
	if s.account, err = s.moto.accountID(ctx); err != nil {
		return err
	}
	if s.functions, err = newFunctions(s.moto, s.account, filepath.Join(s.options.Folder, "functions"), s.options.Report); err != nil {
		return err
	}
	aws := client{url: s.AWSEndpointURL, region: s.moto.region}
	s.functions.aws, s.functions.metrics = aws, s.metrics
	kept := &buckets{moto: s.moto, account: s.account, by: map[bucketPart]string{}}
	log := invocationLog{moto: s.moto, account: s.account, checksums: s.options.Checksums, buckets: kept, permitted: &sync.Map{}, failed: func(metric string, err error) {
		if metric != "" {
			s.metrics.put("AWS/Bedrock", nil, map[string]float64{metric: 1})
		}
		s.options.Report(fmt.Errorf("invocation log: %w", err))
	}}
	bedrock := &Bedrock{Region: s.moto.region, Account: s.account, Authorize: s.authorize, Deliver: log.deliver}
	if s.endpoint, err = newEndpoint(s.moto, aws, bedrock, s.functions, log); err != nil {
		return err
	}
	bedrock.profiles, bedrock.guardrails = s.endpoint.inferenceProfiles, s.endpoint.guardrails
	s.endpoint.authorizeControl = s.authorizeControl
	s.endpoint.events = &eventBus{moto: s.moto, account: s.account, topics: topics{s.moto, s.options.Alarm}, failed: s.options.Report}
	s.serve(s.options.AWS, s.endpoint)
	return nil
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

func (s *Sandbox) frontDoor(apiID string) *frontDoor {
	return &frontDoor{
		moto: s.moto, account: s.account, functions: s.functions, signers: s.endpoint.signers, deployed: s.endpoint.deployed, apiID: apiID,
		report: s.options.Report, alarm: clock, metrics: s.metrics,
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
		s.functions.close()
	}
	s.stopMoto()
	return errors.Join(errs...)
}

// authorize decides whether a call of a model is allowed.
func (s *Sandbox) authorize(r *http.Request, call ModelCall) (identityArn string, err error) {
	return s.allow(r, "bedrock-runtime", func(keys map[string][]string) []iampolicy.Request { return call.requests(keys, s.moto.region) })
}

// authorizeControl decides whether a call of Bedrock's control plane that names no resource is allowed.
func (s *Sandbox) authorizeControl(r *http.Request, action string, own map[string]string) error {
	_, err := s.allow(r, "bedrock", func(keys map[string][]string) []iampolicy.Request {
		for key, value := range own {
			keys[key] = []string{value}
		}
		return []iampolicy.Request{{Action: action, Resource: "*", Context: keys}}
	})
	return err
}

// allow decides whether a request to Bedrock is allowed, by the policies of the function's role and of its VPC's endpoint of
// the service as they are now. Any key that is not a function's is the account's root user's, who may do everything.
func (s *Sandbox) allow(r *http.Request, service string, requests func(keys map[string][]string) []iampolicy.Request) (identityArn string, err error) {
	c, ok := s.functions.caller(credential(r)[0])
	if !ok {
		return "arn:aws:iam::" + s.account + ":root", nil
	}
	role, err := s.moto.serviceRole(r.Context(), c.roleArn, "lambda.amazonaws.com", nil)
	if err != nil {
		return "", err
	}
	keys := map[string][]string{"aws:PrincipalArn": {c.roleArn}, "lambda:SourceFunctionArn": {c.functionArn}}
	// From inside a VPC, private DNS leads to the VPC's own endpoint. A function without a VPC has none.
	endpoints, err := s.moto.vpcEndpoints(r.Context())
	if err != nil {
		return "", err
	}
	var through *iampolicy.Document
	for _, endpoint := range endpoints {
		if endpoint.VpcID == c.vpcID && endpoint.ServiceName == "com.amazonaws."+s.moto.region+"."+service && strings.EqualFold(endpoint.PrivateDNS, "true") {
			keys["aws:SourceVpce"], keys["aws:SourceVpc"] = []string{endpoint.ID}, []string{c.vpcID}
			if through, err = endpoint.policy(); err != nil {
				return "", err
			}
		}
	}
	if err := allowed(requests(keys), role.permissions, through); err != nil {
		return "", fmt.Errorf("User: %s %w", c.sessionArn, err)
	}
	return c.sessionArn, nil
}
