// Conformance runs golden vectors: one JSON document a line on standard input,
// one verdict a line on standard output. The argument is jwt, oidc or
// permissions. A vector without keys is judged by the keys that its issuer
// serves, one without time now.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"apostille.example/apostille"
)

type vector struct {
	Keys   json.RawMessage
	Policy struct {
		Issuer        string
		Audience      []string
		Algorithms    []string
		LeewaySeconds int `json:"leeway_seconds"`
	}
	Time  *int64
	Token string
}

type question struct {
	Grants, Required []string
	Match            string
}

type verdict struct {
	Value   interface{} `json:"value,omitempty"`
	Code    string      `json:"code,omitempty"`
	Claim   string      `json:"claim,omitempty"`
	Message string      `json:"message,omitempty"`
}

func main() {
	runners := map[string]func([]byte) (interface{}, error){
		"jwt":         verifier(apostille.WithJWT, apostille.Algorithms),
		"oidc":        verifier(apostille.WithOIDC, apostille.OIDCAlgorithms),
		"permissions": permissions,
	}
	run := runners[os.Args[1]]
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		value, err := run(lines.Bytes())
		answer := verdict{Value: value}
		if err != nil {
			answer = refused(err)
		}
		if err := output.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func refused(err error) verdict {
	var refusal *apostille.InvalidToken
	if errors.As(err, &refusal) {
		return verdict{Code: refusal.Code, Claim: refusal.Claim}
	}
	return verdict{Code: "error", Message: err.Error()}
}

type library = func(context.Context, string, apostille.Key, *apostille.Config) error

func verifier(with library, known []string) func([]byte) (interface{}, error) {
	return func(line []byte) (interface{}, error) {
		var v vector
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, err
		}
		keys, now := apostille.RemoteKeys(v.Policy.Issuer), time.Now
		if v.Time != nil {
			now = func() time.Time { return time.Unix(*v.Time, 0) }
		}
		if v.Keys != nil {
			static, err := apostille.StaticKeys(v.Keys)
			if err != nil {
				return nil, err
			}
			keys = static
		}
		verifier, err := apostille.NewVerifier(apostille.Config{
			Issuer:     v.Policy.Issuer,
			Audience:   v.Policy.Audience,
			Keys:       keys,
			Algorithms: both(v.Policy.Algorithms, known),
			Leeway:     time.Duration(v.Policy.LeewaySeconds) * time.Second,
			Now:        now,
			Signature:  with,
		})
		if err != nil {
			return nil, err
		}
		claims, err := verifier.Verify(context.Background(), v.Token)
		if err != nil {
			return nil, err
		}
		return claims.All, nil
	}
}

// both returns what is in a and in b.
func both(a, b []string) []string {
	list := []string{} // not nil, which would mean all
	for _, x := range a {
		for _, y := range b {
			if x == y {
				list = append(list, x)
			}
		}
	}
	return list
}

func permissions(line []byte) (allows interface{}, err error) {
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	defer func() { // a requirement that is a mistake
		if mistake := recover(); mistake != nil {
			allows, err = nil, fmt.Errorf("%v", mistake)
		}
	}()
	requirement := apostille.HasPermission
	if q.Match == "any" {
		requirement = apostille.HasAnyPermission
	}
	return requirement(q.Required...).Allows(apostille.NewPermissionSet(q.Grants)), nil
}
