package apostille

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

const lastSecond = 253402300799 // 9999-12-31T23:59:59Z

// Claims are the claims of a token whose signature, issuer, audience and times
// have been checked.
type Claims struct {
	Subject      string
	Client       string
	Tenant       string // empty if there is none, like all below
	Organization string
	Session      string
	Roles        []string
	Permissions  PermissionSet
	Expires      time.Time
	All          map[string]interface{} // as in the token; numbers are json.Number
}

// What the claims of contract v1 look like, in its order
// (contracts/schemas/access-token-claims.v1.json). Libraries check a handful.
var contract = []struct {
	name     string
	required bool
	fits     func(interface{}) bool
}{
	{"iss", true, isText},
	{"sub", true, isText},
	{"aud", true, isAudience},
	{"client_id", true, isText},
	{"exp", true, isTime},
	{"iat", true, isTime},
	{"jti", true, isText},
	{"nbf", false, isTime},
	{"auth_time", false, isTime},
	{"acr", false, isString},
	{"amr", false, isStrings},
	{"sid", false, isText},
	{"tid", false, isText},
	{"org", false, isText},
	{"roles", false, isStrings},
	{"permissions", false, isStrings},
	{"scope", false, isString},
	{"plan", false, isString},
	{"status", false, isStatus},
	{"act", false, isActor},
	{"cnf", false, isKeyBinding},
}

// policy is what a token must say to be accepted here.
type policy struct {
	issuer   string
	audience []string
	leeway   time.Duration
}

// accept returns the claims in payload, whose signature holds.
func (p policy) accept(payload map[string]interface{}, now time.Time) (*Claims, error) {
	for _, claim := range contract {
		value, present := payload[claim.name]
		if present && !claim.fits(value) || !present && claim.required {
			return nil, &InvalidToken{Code: "invalid_claim", Claim: claim.name}
		}
	}
	if payload["iss"] != p.issuer {
		return nil, invalid("wrong_issuer")
	}
	if !p.isMeant(payload["aud"]) {
		return nil, invalid("wrong_audience")
	}
	seconds, leeway := float64(now.UnixNano())/1e9, p.leeway.Seconds()
	if seconds >= number(payload["exp"])+leeway {
		return nil, invalid("expired_token")
	}
	if seconds < math.Max(number(payload["iat"]), number(payload["nbf"]))-leeway {
		return nil, invalid("not_yet_valid")
	}
	return newClaims(payload), nil
}

func (p policy) isMeant(aud interface{}) bool {
	if name, single := aud.(string); single {
		return contains(p.audience, name)
	}
	for _, name := range texts(aud) {
		if contains(p.audience, name) {
			return true
		}
	}
	return false
}

func newClaims(payload map[string]interface{}) *Claims {
	text := func(name string) string { value, _ := payload[name].(string); return value }
	return &Claims{
		Subject:      text("sub"),
		Client:       text("client_id"),
		Tenant:       text("tid"),
		Organization: text("org"),
		Session:      text("sid"),
		Roles:        texts(payload["roles"]),
		Permissions:  NewPermissionSet(texts(payload["permissions"])),
		Expires:      time.Unix(int64(number(payload["exp"])), 0),
		All:          payload,
	}
}

// number returns a claim that isTime, or 0 if it is absent.
func number(value interface{}) float64 {
	literal, _ := value.(json.Number)
	seconds, _ := literal.Float64()
	return seconds
}

// texts returns a claim that isStrings, or nil if it is absent.
func texts(value interface{}) []string {
	var list []string
	elements, _ := value.([]interface{})
	for _, element := range elements {
		list = append(list, element.(string))
	}
	return list
}

func isString(value interface{}) bool { _, ok := value.(string); return ok }

func isText(value interface{}) bool {
	text, ok := value.(string)
	return ok && text != "" && utf8.RuneCountInString(text) <= 1024
}

func isTime(value interface{}) bool {
	literal, ok := value.(json.Number)
	seconds, err := literal.Float64()
	return ok && err == nil && seconds >= 0 && seconds <= lastSecond
}

func isStrings(value interface{}) bool { return isListOf(isString, value) }

func isAudience(value interface{}) bool { return isText(value) || isListOf(isText, value) }

func isListOf(fits func(interface{}) bool, value interface{}) bool {
	elements, ok := value.([]interface{})
	for _, element := range elements {
		ok = ok && fits(element)
	}
	return ok
}

func isStatus(value interface{}) bool {
	status, _ := value.(map[string]interface{})
	list, _ := status["status_list"].(map[string]interface{})
	index, _ := list["idx"].(json.Number)
	_, err := strconv.ParseUint(index.String(), 10, 63)
	return err == nil && isText(list["uri"])
}

func isActor(value interface{}) bool {
	actor, ok := value.(map[string]interface{})
	return ok && isText(actor["sub"]) && (actor["act"] == nil || isActor(actor["act"]))
}

func isKeyBinding(value interface{}) bool {
	binding, ok := value.(map[string]interface{})
	for _, name := range []string{"jkt", "x5t#S256"} {
		ok = ok && (binding[name] == nil || isString(binding[name]))
	}
	return ok
}
