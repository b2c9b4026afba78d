package iampolicy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Request is a call as AWS evaluates it.
type Request struct {
	Principal Principal
	Action    string // "bedrock:InvokeModel"
	// Resource is the full ARN, or "*" for an action without a resource. Only a policy's "*" matches that.
	Resource string
	// Context contains the condition keys of the request. Other keys are absent. Nothing is added from Principal: set
	// aws:PrincipalArn (of a session, the role's ARN) and similar keys if AWS sets them.
	Context map[string][]string
}

// Principal is the caller. The zero Principal is an anonymous caller.
type Principal struct {
	ARN     string // of the role session, user or root user; contains the account
	Service string // "bedrock.amazonaws.com", for an AWS service calling as itself
}

// Decision is the result of evaluating policies. The zero Decision is ImplicitDeny.
type Decision int

// Each decision overrides the ones before it.
const (
	ImplicitDeny Decision = iota // no statement applies
	allowAccount                 // allowed by a statement that names only the caller's account
	Allow
	ExplicitDeny // a Deny statement applies; no Allow anywhere helps
)

// String returns the name of the decision.
func (d Decision) String() string {
	switch d {
	case ExplicitDeny:
		return "ExplicitDeny"
	case Allow, allowAccount:
		return "Allow"
	}
	return "ImplicitDeny"
}

// Decide returns the decision of this document alone. That is the final decision for a VPC endpoint policy, and for a
// request of an AWS service or an anonymous caller to a resource policy or trust policy. For requests of users and
// roles, use SameAccount, SameAccountKeyOrRole or CrossAccount.
func (d Document) Decide(r Request) Decision {
	if v := d.decide(r); v != allowAccount {
		return v
	}
	return Allow
}

// SameAccount decides a request of a user or role to a resource of its own account. An identity policy or the resource
// policy can allow it. A statement for the whole account, "arn:aws:iam::123456789012:root", only delegates to the
// identity policies (AWS JSON policy elements: Principal, "delegates authority to the account").
//
// A VPC endpoint policy only restricts. Don't pass it here; call its Decide.
func SameAccount(identity, resource []Document, r Request) Decision {
	if v := max(decideAll(identity, r, true), decideAll(resource, r, false)); v != allowAccount {
		return v
	}
	return ImplicitDeny
}

// SameAccountKeyOrRole is SameAccount for KMS keys and for assuming roles, "exceptions to this logic, because they must
// explicitly allow access" (IAM User Guide, "How AWS enforcement code logic evaluates requests"). Identity policies
// count only if the key or trust policy allows the account.
func SameAccountKeyOrRole(identity, resource []Document, r Request) Decision {
	if decideAll(resource, r, false) == Allow && decideAll(identity, r, true) != ExplicitDeny {
		return Allow
	}
	return CrossAccount(identity, resource, r)
}

// CrossAccount decides a request of a user or role to a resource of another
// account: both an identity policy and the resource policy must allow it.
func CrossAccount(identity, resource []Document, r Request) Decision {
	i, v := decideAll(identity, r, true), decideAll(resource, r, false)
	switch {
	case i == ExplicitDeny || v == ExplicitDeny:
		return ExplicitDeny
	case i == Allow && v != ImplicitDeny:
		return Allow
	}
	return ImplicitDeny
}

func decideAll(docs []Document, r Request, identity bool) Decision {
	v := ImplicitDeny
	for _, d := range docs {
		w := d.decide(r)
		// An identity policy matches every caller. As a resource policy, it would open the resource to every caller.
		if w != ExplicitDeny && (d.kind == identityKind) != identity {
			w = ImplicitDeny
		}
		v = max(v, w)
	}
	return v
}

func (d Document) decide(r Request) Decision {
	v := ImplicitDeny
	if d.kind != "" {
		for _, s := range d.Statements {
			v = max(v, s.decide(d.kind, r))
		}
	}
	return v
}

func (s Statement) decide(k kind, r Request) Decision {
	named := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return glob(strings.ToLower(p), strings.ToLower(r.Action)) })
	}
	who := Allow
	if k != identityKind {
		who = s.Principals.match(r.Principal)
	}
	switch {
	case who == ImplicitDeny,
		s.NotActions == nil && !named(s.Actions),
		s.NotActions != nil && named(s.NotActions), // IAM JSON policy elements: NotAction
		k != trustKind && !slices.ContainsFunc(s.Resources, func(p string) bool { return glob(p, r.Resource) }),
		slices.ContainsFunc(s.Conditions, func(c Condition) bool { return !c.match(r.Context) }):
		return ImplicitDeny
	case s.Effect == "Deny":
		return ExplicitDeny
	}
	return who
}

// match returns Allow if the policy names the caller, and allowAccount if it names the caller's account.
func (ps Principals) match(p Principal) Decision {
	if slices.Contains(ps.AWS, "*") || slices.Contains(ps.AWS, p.ARN) || slices.Contains(ps.Service, p.Service) {
		return Allow
	}
	arn := strings.SplitN(p.ARN, ":", 6)
	if len(arn) < 6 {
		return ImplicitDeny
	}
	iam := "arn:" + arn[1] + ":iam::" + arn[4] + ":"
	// A session's ARN lacks its role's path, but role names are unique in an account whatever their paths (IAM and AWS
	// STS quotas, name requirements).
	if session := strings.Split(arn[5], "/"); arn[2] == "sts" && session[0] == "assumed-role" && len(session) == 3 {
		for _, named := range ps.AWS {
			if strings.HasPrefix(named, iam+"role/") && strings.HasSuffix(named, "/"+session[1]) {
				return Allow
			}
		}
	}
	switch {
	case !slices.Contains(ps.AWS, arn[4]) && !slices.Contains(ps.AWS, iam+"root"):
		return ImplicitDeny
	case arn[5] == "root":
		return Allow
	}
	return allowAccount
}

// operator is a condition operator. It defines how a policy's value is compared with a request's, and how an absent key
// counts.
type operator struct {
	match             func(policy, request string) bool
	form              form
	negated, ifExists bool
}

// operators are the supported operators. ArnEquals and ArnLike "behave identically", wildcards included (IAM JSON
// policy elements: Condition operators).
var operators = map[string]operator{
	"StringEquals":              {match: equal, form: valueForm},
	"StringNotEquals":           {match: equal, form: valueForm, negated: true},
	"StringEqualsIgnoreCase":    {match: strings.EqualFold, form: valueForm},
	"StringNotEqualsIgnoreCase": {match: strings.EqualFold, form: valueForm, negated: true},
	"StringLike":                {match: glob, form: valueForm},
	"StringNotLike":             {match: glob, form: valueForm, negated: true},
	"ArnEquals":                 {match: arnLike, form: arnForm},
	"ArnNotEquals":              {match: arnLike, form: arnForm, negated: true},
	"ArnLike":                   {match: arnLike, form: arnForm},
	"ArnNotLike":                {match: arnLike, form: arnForm, negated: true},
	"Bool":                      {match: strings.EqualFold, form: boolForm},
	"Null":                      {match: equal, form: boolForm},
	"NumericEquals":             {match: numeric(func(p, v float64) bool { return v == p }), form: numberForm},
	"NumericNotEquals":          {match: numeric(func(p, v float64) bool { return v == p }), form: numberForm, negated: true},
	"NumericLessThan":           {match: numeric(func(p, v float64) bool { return v < p }), form: numberForm},
	"NumericLessThanEquals":     {match: numeric(func(p, v float64) bool { return v <= p }), form: numberForm},
	"NumericGreaterThan":        {match: numeric(func(p, v float64) bool { return v > p }), form: numberForm},
	"NumericGreaterThanEquals":  {match: numeric(func(p, v float64) bool { return v >= p }), form: numberForm},
}

// lookup returns an operator by its name in a policy. ForAllValues: and ForAnyValue: are refused, because IAM JSON
// policy elements: Condition operators contradicts itself on an absent key under ForAllValues:StringNotLike.
func lookup(name string) (operator, bool) {
	base, ifExists := strings.CutSuffix(name, "IfExists")
	op, ok := operators[base]
	op.ifExists = ifExists
	return op, ok && name != "NullIfExists"
}

func (c Condition) match(context map[string][]string) bool {
	op, _ := lookup(c.Operator)
	var values []string
	for key, v := range context {
		if strings.EqualFold(key, c.Key) {
			values = append(values, v...)
		}
	}
	if c.Operator == "Null" {
		// An empty value counts as null (IAM JSON policy elements: Condition).
		values = []string{strconv.FormatBool(strings.Join(values, "") == "")}
	}
	if len(values) == 0 {
		// A negated operator matches an absent key (IAM JSON policy elements: Condition operators).
		return op.negated || op.ifExists
	}
	matched := slices.ContainsFunc(values, func(v string) bool {
		return slices.ContainsFunc(c.Values, func(p string) bool { return op.match(p, v) })
	})
	return matched != op.negated
}

func equal(policy, request string) bool { return policy == request }

func numeric(compare func(policy, request float64) bool) func(policy, request string) bool {
	return func(p, v string) bool {
		policy, errP := strconv.ParseFloat(p, 64)
		request, errV := strconv.ParseFloat(v, 64)
		return errP == nil && errV == nil && numberForm.pattern.MatchString(v) && compare(policy, request)
	}
}

// arnLike compares each of the six parts separately, so that no wildcard extends past a colon (IAM JSON policy
// elements: Condition operators).
func arnLike(pattern, arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return false
	}
	for i, p := range strings.SplitN(pattern, ":", 6) {
		if !glob(p, parts[i]) {
			return false
		}
	}
	return true
}

var wildcards = strings.NewReplacer(`\*`, `.*`, `\?`, `.`)

// glob reports whether the whole of s matches a pattern of * and ?. It takes time linear in s for every pattern, as
// package regexp guarantees.
func glob(pattern, s string) bool {
	compiled, known := globs.Load(pattern)
	if !known {
		compiled, _ = globs.LoadOrStore(pattern, regexp.MustCompile(`(?s)^`+wildcards.Replace(regexp.QuoteMeta(pattern))+`$`))
	}
	return compiled.(*regexp.Regexp).MatchString(s)
}

// globs caches compiled patterns, because a policy decides many requests.
var globs sync.Map
