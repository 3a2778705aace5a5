package embedded

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// User is a user of the embedded NATS server. It may publish and subscribe only to the
// listed subjects, which may have wildcards: an empty list allows nothing, ">" allows all.
type User struct {
	Name      string
	Password  string
	Publish   []string
	Subscribe []string
}

func checkUsers(users []User) error {
	seen := map[string]bool{}
	for _, user := range users {
		if user.Name == "" || user.Password == "" {
			return errors.New("a NATS user needs a name and a password")
		}
		if seen[user.Name] {
			return fmt.Errorf("two NATS users are named %q", user.Name)
		}
		seen[user.Name] = true
	}
	return nil
}

func (n *NATS) user(name string) (User, bool) {
	for _, user := range n.cfg.Users {
		if user.Name == name {
			return user, true
		}
	}
	return User{}, false
}

func serverUsers(users []User) []*server.User {
	var all []*server.User
	for _, user := range users {
		all = append(all, &server.User{
			Username:    user.Name,
			Password:    user.Password,
			Permissions: &server.Permissions{Publish: only(user.Publish), Subscribe: only(user.Subscribe)},
		})
	}
	return all
}

// only allows the subjects and no others. For the server, an empty Allow list would allow
// everything.
func only(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}
