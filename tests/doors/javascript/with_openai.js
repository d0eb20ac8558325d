// OpenAI's own client.
import OpenAI from "openai";

import { prove } from "./checks.js";

await prove((url, model) => {
  const openai = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 });
  const create = (question, { maxTokens, ...fields }, others) =>
    openai.chat.completions.create({
      model,
      messages: [{ role: "user", content: question }],
      max_completion_tokens: maxTokens,
      ...fields,
      ...others,
    });
  return {
    takesN: true,
    isRefusal: (error) => error instanceof OpenAI.BadRequestError && error.code === "context_length_exceeded",
    async whole(question, fields) {
      const { choices, usage } = await create(question, fields);
      return { texts: choices.map(({ message }) => message.content), usage: [usage.prompt_tokens, usage.completion_tokens] };
    },
    async *pieces(question, fields) {
      for await (const { choices } of await create(question, fields, { stream: true })) {
        const piece = choices[0]?.delta.content;
        if (piece) yield piece;
      }
    },
  };
});
