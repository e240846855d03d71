// Package apostille verifies access tokens of an Apostille issuer and answers
// which permissions they carry.
package apostille

import (
	"fmt"
	"regexp"
	"strings"
)

// A permission is two to five lower-case segments joined by dots. A grant, as
// it stands in a token, is a permission or a wildcard: "inventory.*" covers
// "inventory.read" and "inventory.stock.read"; "*" alone covers everything.
// What a service requires never contains a wildcard.
const (
	maxPermissionLength = 128
	segment             = `[a-z][a-z0-9_-]*`
)

var (
	permissionName = regexp.MustCompile(`^` + segment + `(?:\.` + segment + `){1,4}$`)
	wildcard       = regexp.MustCompile(`^` + segment + `(?:\.` + segment + `){0,3}\.\*$`)
)

// IsPermission says whether text is a permission that can be required.
func IsPermission(text string) bool {
	return len(text) <= maxPermissionLength && permissionName.MatchString(text)
}

// PermissionSet holds the grants of one token. The zero value holds none.
type PermissionSet struct {
	everything bool
	names      map[string]bool
	prefixes   []string
}

// NewPermissionSet takes grants as they stand in the claim "permissions".
// Texts that are not grants cover nothing.
func NewPermissionSet(grants []string) PermissionSet {
	set := PermissionSet{names: make(map[string]bool, len(grants))}
	for _, grant := range grants {
		switch {
		case grant == "*":
			set.everything = true
		case wildcard.MatchString(grant):
			set.prefixes = append(set.prefixes, strings.TrimSuffix(grant, "*"))
		default:
			set.names[grant] = true
		}
	}
	return set
}

// Covers says whether permission, a name without wildcard, is covered.
func (set PermissionSet) Covers(permission string) bool {
	if set.everything || set.names[permission] {
		return true
	}
	for _, prefix := range set.prefixes {
		if strings.HasPrefix(permission, prefix) {
			return true
		}
	}
	return false
}

// Requirement is something a caller must hold.
type Requirement struct {
	names []string
	any   bool
}

// HasPermission returns a Requirement that wants all names. Call it once, when
// the program starts:
//
//	var mayWrite = apostille.HasPermission("inventory.write")
//
// It panics on no name, a malformed one or a wildcard: these are mistakes in
// the program, found when it starts and not when somebody asks.
func HasPermission(names ...string) Requirement { return requirement(names, false) }

// HasAnyPermission returns a Requirement that wants at least one of names;
// otherwise it is like HasPermission.
func HasAnyPermission(names ...string) Requirement { return requirement(names, true) }

func requirement(names []string, any bool) Requirement {
	if len(names) == 0 {
		// "All of nothing" would be true of everybody.
		panic("apostille: a requirement names at least one permission")
	}
	for _, name := range names {
		if !IsPermission(name) {
			panic(fmt.Sprintf("apostille: %q is no permission", name))
		}
	}
	return Requirement{names, any}
}

// Allows says whether held meets the requirement.
func (r Requirement) Allows(held PermissionSet) bool {
	for _, name := range r.names {
		if held.Covers(name) == r.any {
			return r.any
		}
	}
	return !r.any
}

// Missing returns the permissions that would have helped, if held does not meet
// the requirement.
func (r Requirement) Missing(held PermissionSet) []string {
	var missing []string
	for _, name := range r.names {
		if !held.Covers(name) {
			missing = append(missing, name)
		}
	}
	return missing
}
