package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"postern/client"
)

// Send a message to two portal users, and wait until both can read it.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Connect("http://127.0.0.1:8080", os.Getenv("TOKEN"))
	if err != nil {
		log.Fatal(err)
	}
	// The key makes it safe to send the request again after a lost answer.
	params := &client.SendMessageParams{IdempotencyKey: "care-plans-2026-03-02"}
	answer, err := c.SendMessageWithResponse(ctx, params, client.NewMessage{
		Subject: "Your care plan", Body: "Please read it before your next visit.",
		Recipients: client.Recipients{PortalUserIds: &[]string{"denis-schmitt", "ingrid-berg"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if answer.JSON202 == nil {
		log.Fatal(client.Failure(answer))
	}
	message, err := client.WaitUntilSent(ctx, c, answer.JSON202.Id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d can read it\n", message.Progress.Delivered, message.Progress.Recipients)
}
