// What every client of the door must get from it: tests/doors/python/checks.py in JavaScript.
import assert from "node:assert/strict";

const SUM = "What is 12 + 30?";
const STORY = "Tell me a story of numbers."; // the demo knows no story: each seed's nonsense is another
const CHINESE_SUM = "十二加三十等于几？";
const SAID = "答案是四十二";
const OVERLONG = "one and ".repeat(6000);

// `connect(url, model)` gives a client: `whole(question, fields)` resolves to {texts, usage: [prompt, completion]},
// `pieces(question, fields)` iterates over texts and drops the connection when it is left, `isRefusal(error)` knows the
// client's own error of a 400, and `takesN` says whether it has several choices.
export async function prove(connect) {
  const [demo, chinese] = await Promise.all([process.env.DEMO, process.env.CHINESE].map((url) => opened(connect, url)));
  const checks = [streamedEqualsWhole, equalSeedsGiveEqualTexts, tooLongIsItsOwnError];
  for (const check of demo.takesN ? [...checks, twoChoicesDiffer] : checks) {
    await check(demo);
    console.log(check.name);
  }
  for (const check of [chineseIsWhole, leavingFreesTheEngine]) {
    await check(chinese);
    console.log(check.name);
  }
}

async function opened(connect, url) {
  const listed = await (await fetch(`${url}/models`)).json();
  return connect(url, listed.data[0].id);
}

async function collected(pieces) {
  const found = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

async function streamedEqualsWhole(client) {
  const whole = await client.whole(SUM, { temperature: 0 });
  assert.match(whole.texts[0], /42/);
  assert.ok(Math.min(...whole.usage) > 5, String(whole.usage));
  const pieces = await collected(client.pieces(SUM, { temperature: 0 }));
  assert.equal(pieces.join(""), whole.texts[0]);
}

async function equalSeedsGiveEqualTexts(client) {
  const texts = [];
  for (const seed of [7, 7, 8]) {
    texts.push((await client.whole(STORY, { temperature: 1.5, maxTokens: 40, seed })).texts[0]);
  }
  assert.equal(texts[0], texts[1]);
  assert.notEqual(texts[0], texts[2]);
}

async function tooLongIsItsOwnError(client) {
  for (const ask of [client.whole, (question, fields) => collected(client.pieces(question, fields))]) {
    const refusal = await ask(OVERLONG, {}).then(() => undefined, (error) => error);
    assert.ok(client.isRefusal(refusal), String(refusal));
    assert.match(String(refusal), /tokens/);
  }
}

async function twoChoicesDiffer(client) {
  const fields = { temperature: 1.5, maxTokens: 40, seed: 7 };
  const two = await client.whole(STORY, { ...fields, n: 2 });
  const alone = await client.whole(STORY, fields);
  assert.equal(two.texts.length, 2);
  assert.equal(two.texts[0], alone.texts[0]);
  assert.notEqual(two.texts[0], two.texts[1]);
}

async function chineseIsWhole(client) {
  const fields = { temperature: 0, maxTokens: 100 };
  const [whole] = (await client.whole(CHINESE_SUM, fields)).texts;
  assert.ok(whole.split(SAID).length > 4, whole);
  assert.equal((await collected(client.pieces(CHINESE_SUM, fields))).join(""), whole);
}

// The service has one place: the next request is only answered once the one before is over.
async function leavingFreesTheEngine(client) {
  let seen = 0;
  for await (const piece of client.pieces(CHINESE_SUM, { temperature: 0, maxTokens: 4000 })) {
    assert.ok(piece);
    if (++seen === 3) break;
  }
  assert.equal(seen, 3);
  const [next] = (await client.whole(CHINESE_SUM, { maxTokens: 8 })).texts;
  assert.ok(next);
}
