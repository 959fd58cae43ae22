// Reads back with LangSmith's JavaScript SDK what `record.mjs` recorded; prints JSON.
import { Client } from "langsmith";

const client = new Client();
const projectName = process.env.LANGSMITH_PROJECT;
const all = async (iterable) => { const found = []; for await (const one of iterable) found.push(one); return found; };
const list = (wanted) => all(client.listRuns({ projectName, ...wanted }));
const tree = (run, depth = 0) => [[depth, run.name, run.run_type, run.status],
  ...(run.child_runs ?? []).flatMap((child) => tree(child, depth + 1))];

const roots = await list({ isRoot: true });
const named = Object.fromEntries(roots.map((run) => [run.name, run]));
const whole = await client.readRun(named.pipeline.id, { loadChildRuns: true });
const graph = await client.readRun(named["weather-agent"].id, { loadChildRuns: true });
const picture = await client.readRun(named.with_picture.id);
const link = picture.s3_urls["attachment.picture"].presigned_url;
const project = await client.readProject({ projectName });
const token = (await client.shareRun(whole.id)).split("/").at(-2);
const shared = await client.listSharedRuns(token);
const isShared = await client.readRunSharedLink(whole.id);
await client.unshareRun(whole.id);

const selects = ["NAME", "RUN_TYPE", "STATUS", "FEEDBACK_STATS"];
const second = await all(client.runs.query({ project_ids: [project.id], selects, page_size: 3 }));
const one = await client.runs.retrieve(whole.id, { project_id: project.id, selects });
const threads = await all(client.threads.query({ project_id: project.id }));

console.log(JSON.stringify({
  roots: roots.map((run) => run.name),
  pipeline: tree(whole),
  graph: tree(graph),
  inputs: whole.inputs,
  outputs: whole.outputs,
  tokens: whole.total_tokens,
  graph_tokens: graph.total_tokens,
  errors: (await list({ error: true })).map((run) => [run.name, run.error]),
  calls: (await list({ filter: 'and(eq(run_type, "llm"), gt(total_tokens, 13))' })).length,
  limited: (await list({ limit: 3 })).length,
  thread: (await list({ filter: 'eq(thread_id, "th-7")', isRoot: true })).map((run) => run.name),
  picture: [...new Uint8Array(await (await fetch(link)).arrayBuffer())],
  feedback: (await all(client.listFeedback({ runIds: [whole.id] }))).map((f) => [f.key, f.score]),
  projects: (await all(client.listProjects())).map((one) => one.name),
  has: [await client.hasProject({ projectName }), await client.hasProject({ projectName: "absent" })],
  stats: (await client.getRunStats({ projectNames: [projectName], isRoot: true })).run_count,
  url: await client.getRunUrl({ runId: whole.id }),
  shared: shared.length,
  is_shared: Boolean(isShared),
  second: second.length,
  retrieved: [one.name, one.run_type, one.status, one.feedback_stats?.correctness?.avg],
  threads: threads.map((thread) => thread.thread_id).sort(),
}));
