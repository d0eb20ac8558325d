// The AI SDK with its provider for servers of OpenAI's kind. It has one choice in an answer.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";

import { prove } from "./checks.js";

await prove((url, model) => {
  const provider = createOpenAICompatible({ name: "door", baseURL: url, includeUsage: true });
  const request = (question, { maxTokens, ...fields }) => ({
    model: provider(model),
    prompt: question,
    maxOutputTokens: maxTokens,
    maxRetries: 0,
    ...fields,
  });
  return {
    takesN: false,
    isRefusal: (error) => APICallError.isInstance(error) && error.statusCode === 400 && !error.isRetryable,
    async whole(question, fields) {
      const { text, usage } = await generateText(request(question, fields));
      return { texts: [text], usage: [usage.inputTokens, usage.outputTokens] };
    },
    async *pieces(question, fields) {
      const leaving = new AbortController();
      try {
        const { fullStream } = streamText({ ...request(question, fields), abortSignal: leaving.signal, onError() {} });
        for await (const part of fullStream) {
          if (part.type === "error") throw part.error;
          if (part.type === "text-delta") yield part.text;
        }
      } finally {
        leaving.abort();
      }
    },
  };
});
