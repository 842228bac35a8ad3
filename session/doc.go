// Package session keeps the sessions of logged-in users in Redis.
//
//	type Data struct{ Theme string }
//
//	sessions, err := session.New[Data](c, session.Options{IdleTimeout: 30 * time.Minute})
//	if err != nil {
//		return err
//	}
//	id, _, err := sessions.Create(ctx, "user-42", Data{Theme: "dark"})
//	if err != nil {
//		return err
//	}
//	http.SetCookie(w, &http.Cookie{Name: "__Host-session", Value: id.Reveal(),
//		Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
//
// and at every request, with the cookie's value:
//
//	id := session.IDFromString(cookie.Value)
//	s, err := sessions.Get(ctx, id)
//	if errors.Is(err, session.ErrNotFound) {
//		// log in
//	}
//	err = sessions.Touch(ctx, id) // the user is active
//
// c is a [conn.Client]; see package conn for how to open one.
//
// # IDs
//
// An [ID] is 256 random bits. Redis only gets its SHA-256, so who reads the
// database cannot take over a session. Printing an ID in any way shows a short
// handle for logs; [ID.Reveal] gives the value for the cookie. A string that
// cannot be an ID is refused without asking Redis.
//
// # Time
//
// A session ends when it was not touched for the idle time-out, or at the end of
// its lifetime, whatever comes first; Redis' clock decides, and Redis removes it.
//
// # What is in Redis
//
// One hash per session under "<prefix>session:<SHA-256 of the ID>", with the
// fields user, data, created and deadline (milliseconds since 1970), always with
// a TTL. All stores on one Redis and one Config.KeyPrefix share their sessions:
// two applications, or two types of metadata, need two prefixes.
//
// # What it does today
//
// Create, Get, Touch and Delete, each one round trip to Redis. There is no list
// of a user's sessions, no "log out everywhere", no rotation of IDs, no change of
// metadata and no HTTP middleware. The form of IDs and records may still change,
// which would end the sessions there are.
//
// # Errors
//
// [ErrNotFound] is the only answer to an ID that is wrong, malformed or expired.
// Other errors are those of package conn and match with errors.Is. No error, and
// nothing else, shows an ID.
package session
