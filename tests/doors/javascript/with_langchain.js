// LangChain's ChatOpenAI.
import { ContextOverflowError } from "@langchain/core/errors";
import { HumanMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";

import { prove } from "./checks.js";

await prove((url, model) => {
  const chat = ({ seed, ...fields }) =>
    new ChatOpenAI({
      configuration: { baseURL: url },
      apiKey: "none",
      model,
      maxRetries: 0,
      modelKwargs: seed === undefined ? {} : { seed },
      ...fields,
    });
  return {
    takesN: true,
    isRefusal: (error) => ContextOverflowError.isInstance(error),
    async whole(question, fields) {
      const { generations, llmOutput } = await chat(fields).generate([[new HumanMessage(question)]]);
      const { promptTokens, completionTokens } = llmOutput.tokenUsage;
      return { texts: generations[0].map(({ text }) => text), usage: [promptTokens, completionTokens] };
    },
    async *pieces(question, fields) {
      const leaving = new AbortController(); // without it the connection stays open behind a stream that is left
      try {
        for await (const chunk of await chat(fields).stream(question, { signal: leaving.signal })) {
          if (chunk.text) yield chunk.text;
        }
      } finally {
        leaving.abort();
      }
    },
  };
});
