package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/content/reader"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/receipt"
	"postern/internal/proof/receipt/issuer"
)

func (env *environment) receiptCommand() *cobra.Command {
	return group("receipt", "Issue and check receipts, which prove a delivery", env.receiptIssueCommand(), env.receiptVerifyCommand(), env.receiptBundleCommand())
}

func (env *environment) receiptIssueCommand() *cobra.Command {
	var out string
	var names bool
	c := &cobra.Command{Use: "issue MESSAGE PORTAL_USER", Short: "Write the receipt of one delivery", Args: cobra.ExactArgs(2),
		Long: "Writes a proof of the recorded events about one delivery. Issuing it is recorded.\n" +
			"The receipt of a message to a group shows no other recipient of it. Other events are whole, and may contain\n" +
			"the ids of other portal users, for example of those whose alert failed. The receipt states who may see it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			message, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the id of a message", args[0])}
			}
			return env.with(cmd.Context(), func(s *system) error {
				r, err := env.issue(cmd.Context(), s, issuer.Request{MessageID: message, PortalUserID: args[1], Actor: operator(), Names: names})
				if err != nil {
					return err
				}
				return env.writeReceipt(r, out)
			})
		}}
	c.Flags().StringVarP(&out, "out", "o", "", "the file to write (default standard output)")
	c.Flags().BoolVar(&names, "names", false, "include the names of the documents, which may contain a diagnosis")
	return c
}

func (env *environment) writeReceipt(r *receipt.Receipt, out string) error {
	file, err := r.Encode()
	if err != nil {
		return err
	}
	if out == "" {
		_, err := env.out.Write(file)
		return err
	}
	if err := os.WriteFile(out, file, 0o600); err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	return env.say(receiptFileJSON{out, r.Notice}, "wrote %s. %s", out, r.Notice)
}

// checkpointTimeout is how long to wait for a checkpoint that covers a delivery.
const checkpointTimeout = 15 * time.Second

func (env *environment) issue(ctx context.Context, s *system, q issuer.Request) (*receipt.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	cfg := issuer.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish}}
	kept, closeStore, err := env.contentStore(ctx, s)
	if err != nil {
		return nil, err
	}
	defer closeStore()
	if kept != nil {
		cfg.Reader = reader.New(reader.Config{Pool: s.pool, Content: kept})
		cfg.Rosters = rosterstore.New(rosterstore.Config{Pool: s.pool, Content: kept})
		cfg.Entries = entrykey.Opens(s.pool, kept)
	}
	return issuer.New(cfg).Issue(ctx, q)
}

type verifiedJSON struct {
	OK           bool           `json:"ok"`
	Error        string         `json:"error,omitempty"`
	Notice       string         `json:"notice,omitempty"`
	MessageID    string         `json:"message_id,omitempty"`
	PortalUserID string         `json:"portal_user_id,omitempty"`
	SignedBy     string         `json:"signed_by,omitempty"`
	Signed       uint64         `json:"signed,omitempty"`
	Statement    []receipt.Line `json:"statement,omitempty"`
	Files        []heldJSON     `json:"files,omitempty"`
}

// heldJSON says whether a file is the body or a document of the message.
type heldJSON struct {
	File string `json:"file"`
	Sent bool   `json:"sent"`
	Says string `json:"says"`
}

func (env *environment) receiptVerifyCommand() *cobra.Command {
	var key, body string
	var documents []string
	c := &cobra.Command{Use: "verify FILE", Short: "Check a receipt with the key alone", Args: cobra.ExactArgs(1),
		Long: "Needs no system and no network: only the receipt and the key that its clinic gave you.\n" +
			"With --body and --document it also compares files with the sent body and documents.",
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" {
				return usageError{errors.New("--key is needed: the text of the verifier key, or a file with it")}
			}
			file, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("reading the receipt: %w", err)
			}
			said, err := verifyReceipt(file, textOrFile(key), body, documents)
			if err != nil {
				return err
			}
			if err := env.say(said, "%s", said.text()); err != nil {
				return err
			}
			if !said.OK {
				return errDoesNotHold
			}
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "the key that verifies checkpoints, or a file with one key a line")
	c.Flags().StringVar(&body, "body", "", "a file with the text of the message, to compare with the sent body")
	c.Flags().StringArrayVar(&documents, "document", nil, "a file to compare with the sent documents; may be repeated")
	return c
}

func verifyReceipt(file []byte, keys, body string, documents []string) (verifiedJSON, error) {
	r, c, err := receipt.Verify(file, keys)
	if errors.Is(err, receipt.ErrWrong) {
		return verifiedJSON{Error: err.Error()}, nil
	}
	if err != nil {
		return verifiedJSON{}, usageError{fmt.Errorf("--key: %w", err)}
	}
	said := verifiedJSON{OK: true, Notice: r.Notice, MessageID: r.MessageID.String(), PortalUserID: r.PortalUserID,
		SignedBy: c.Origin, Signed: c.Size, Statement: r.Statement}
	if body != "" {
		held, err := compareBody(r, body)
		if err != nil {
			return said, err
		}
		said.Files = append(said.Files, held)
	}
	for _, name := range documents {
		data, err := os.ReadFile(name) // #nosec G304 -- the user's own file
		if err != nil {
			return said, fmt.Errorf("reading a document: %w", err)
		}
		held := heldJSON{File: name, Says: "is NOT one of the documents that were sent"}
		fact, sent, err := r.IsDocument(data)
		if err != nil {
			return said, err
		}
		if sent {
			held.Sent, held.Says = true, "is document "+fact.AttachmentID.String()+" that was sent"
		}
		said.Files = append(said.Files, held)
	}
	for _, f := range said.Files {
		said.OK = said.OK && f.Sent
	}
	return said, nil
}

// compareBody compares a file with the sent body. It also tries the text without a line break
// at its end, because editors add one.
func compareBody(r *receipt.Receipt, name string) (heldJSON, error) {
	text, err := os.ReadFile(name) // #nosec G304 -- the user's own file
	if err != nil {
		return heldJSON{}, fmt.Errorf("reading the body: %w", err)
	}
	held := heldJSON{File: name, Says: "is NOT the body that was sent"}
	for _, candidate := range []string{string(text), strings.TrimSuffix(string(text), "\n")} {
		sent, err := r.IsBody([]byte(candidate))
		if err != nil {
			held.Says = "can't be held against it: " + err.Error()
			return held, nil
		}
		if sent {
			held.Sent, held.Says = true, "is the body that was sent"
			break
		}
	}
	return held, nil
}

func (v verifiedJSON) text() string {
	if v.Error != "" {
		return "the receipt does NOT hold: " + v.Error
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the receipt holds: message %s to portal user %s, on a record of %d events signed for %s\n", v.MessageID, v.PortalUserID, v.Signed, v.SignedBy)
	for _, line := range v.Statement {
		fmt.Fprintf(&b, "%8d  %s  %s\n", line.Seq, line.Time.Format(time.RFC3339), line.Text)
	}
	for _, f := range v.Files {
		fmt.Fprintf(&b, "%s %s\n", f.File, f.Says)
	}
	return b.String() + v.Notice
}
