// The loop of an integrator, with the client that openapi-generator makes for Go.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"kabar"
)

var (
	number     = os.Getenv("KABAR_NUMBER")
	recipients = strings.Split(os.Getenv("KABAR_RECIPIENTS"), ",")
	ctx        = context.WithValue(context.Background(), kabar.ContextAccessToken, os.Getenv("KABAR_KEY"))
	client     *kabar.APIClient
)

// must ends the program when something is not as it should be.
func must(ok bool, what ...any) {
	if !ok {
		fmt.Fprintln(os.Stderr, what...)
		os.Exit(1)
	}
}

func send(to string) kabar.Message {
	template := kabar.NewSendTemplate("hello_world", *kabar.NewTemplateLanguage("en_US"))
	body := kabar.NewSendTemplateMessage(kabar.MESSAGINGPRODUCT_WHATSAPP, "template", *template)
	body.SetTo(to)
	key := fmt.Sprintf("go-%s-%d", to, time.Now().UnixNano())
	answer, _, err := client.MessagesAPI.SendMessage(ctx, number).
		SendMessageBody(kabar.SendTemplateMessageAsSendMessageBody(body)).IdempotencyKey(key).Execute()
	must(err == nil, "send", err)
	return answer.Data
}

func page(request kabar.ApiListConversationsRequest) *kabar.ConversationPage {
	page, _, err := request.Execute()
	must(err == nil, "list", err)
	return page
}

func list() kabar.ApiListConversationsRequest {
	return client.ConversationsAPI.ListConversations(ctx, number)
}

// awaited follows a message until it has arrived; 304 says that nothing has happened yet.
func awaited(id string) kabar.Message {
	seen, answer, err := client.MessagesAPI.GetMessage(ctx, number, id).Execute()
	must(err == nil, "get", err)
	message := seen.Data
	for message.Status != kabar.MESSAGESTATUS_DELIVERED && message.Status != kabar.MESSAGESTATUS_READ {
		must(message.Status != kabar.MESSAGESTATUS_FAILED, "failed")
		tag := answer.Header.Get("ETag")
		seen, answer, err = client.MessagesAPI.GetMessage(ctx, number, id).IfNoneMatch(tag).Prefer("wait=20").Execute()
		if answer != nil && answer.StatusCode == http.StatusNotModified {
			continue
		}
		must(err == nil, "await", err)
		message = seen.Data
	}
	return message
}

// upload makes a plugin of a component, lets it run, and takes it away.
func upload(path string) {
	component, err := os.ReadFile(path)
	must(err == nil, "component", err)
	file, err := os.Open(path)
	must(err == nil, "component", err)
	defer file.Close()
	body := kabar.NewCreatePlugin("go")
	body.SetConfig(map[string]string{"template": "sorry"})
	made, _, err := client.PluginsAPI.CreatePlugin(ctx).CreatePlugin(*body).Execute()
	must(err == nil, "plugin", err)
	plugin := made.Data.Id
	uploaded, _, err := client.PluginsAPI.UploadPluginVersion(ctx, plugin).Body(file).Execute()
	must(err == nil, "upload", err)
	version := uploaded.Data
	must(version.Sha256 == fmt.Sprintf("%x", sha256.Sum256(component)), "digest", version.Sha256)
	activate := kabar.NewActivateVersion(version.Id)
	active, _, err := client.PluginsAPI.ActivatePluginVersion(ctx, plugin).ActivateVersion(*activate).Execute()
	must(err == nil && active.Data.GetActiveVersionId() == version.Id, "activate", err)
	_, err = client.PluginsAPI.DeletePlugin(ctx, plugin).Execute()
	must(err == nil, "delete", err)
}

func main() {
	configuration := kabar.NewConfiguration()
	configuration.Servers = kabar.ServerConfigurations{{URL: os.Getenv("KABAR_URL")}}
	client = kabar.NewAPIClient(configuration)

	for _, to := range recipients {
		must(send(to).Status == kabar.MESSAGESTATUS_PENDING, "not pending")
	}
	fmt.Println("ok send")

	part := page(list().Limit(2))
	must(len(part.Data) == 2 && part.HasMore && strings.HasPrefix(part.RequestId, "req_"), "first page")
	fmt.Println("ok list")

	rows := part.Data
	for part.HasMore {
		part = page(list().Limit(2).Cursor(part.GetNextCursor()))
		rows = append(rows, part.Data...)
	}
	ids, newest := map[string]bool{}, time.Time{}
	for _, row := range rows {
		ids[row.Id] = true
		if row.UpdatedAt.After(newest) {
			newest = row.UpdatedAt
		}
	}
	must(len(ids) == len(rows) && len(rows) >= len(recipients), "pages overlap")
	fmt.Println("ok page")

	must(len(page(list().UpdatedSince(newest)).Data) == 0, "something changed")
	again := send(recipients[0])
	delta := page(list().UpdatedSince(newest)).Data
	must(len(delta) == 1 && delta[0].Id == again.ConversationId, "delta")
	fmt.Println("ok delta")

	awaited(again.Id)
	fmt.Println("ok status")

	_, seen, err := client.ConversationsAPI.GetConversation(ctx, number, again.ConversationId).Execute()
	must(err == nil, "conversation", err)
	_, unchanged, _ := client.ConversationsAPI.GetConversation(ctx, number, again.ConversationId).
		IfNoneMatch(seen.Header.Get("ETag")).Execute()
	must(unchanged.StatusCode == http.StatusNotModified, "not 304")
	fmt.Println("ok unchanged")

	_, answer, err := client.MessagesAPI.GetMessage(ctx, number, "msg_00000000000000000000000000").Execute()
	refusal, ok := err.(*kabar.GenericOpenAPIError)
	must(ok && answer.StatusCode == http.StatusNotFound, "no refusal", err)
	detail, ok := refusal.Model().(kabar.Error)
	must(ok && detail.Error.Code == "resource_not_found", "code", refusal)
	must(detail.Error.RequestId == answer.Header.Get("X-Request-Id"), "request id")
	fmt.Println("ok error")

	upload(os.Getenv("KABAR_COMPONENT"))
	fmt.Println("ok upload")
}
