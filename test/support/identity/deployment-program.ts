/**
 * A program that stands for a deployment: it listens where it is told to, and calls what it is told to, itself or by a
 * child. First argument: `DeploymentPlan` as JSON; then a line of JSON for each `DeploymentCall` on stdin. It answers with a
 * line of JSON: `{listening: [port…]}`, then `{status, body}` or `{error}` for each call.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import type { DeploymentCall, DeploymentPlan } from './deployment.ts'

const agents = [
  new http.Agent({ keepAlive: true, maxSockets: 1 }),
  new https.Agent({ keepAlive: true, maxSockets: 1 }),
] as const

async function listen({ host, port }: { host: string; port: number }): Promise<number> {
  const server = net.createServer(socket => socket.end()).listen(port, host)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function call(given: DeploymentCall): Promise<object> {
  if (given.by === 'child') return byChild({ ...given, by: 'itself' })
  const { url, method = 'GET', headers = {}, body, localAddress, cert, key, ca } = given
  const read = (path: string | undefined): Buffer | undefined =>
    path === undefined ? undefined : readFileSync(path)
  const [plainAgent, tlsAgent] = agents
  const common = { method, headers, ...(localAddress === undefined ? {} : { localAddress }) }
  const request = url.startsWith('https:')
    ? https.request(url, {
        ...common,
        agent: tlsAgent,
        // Not the name in a Host field that lies.
        servername: 'localhost',
        cert: read(cert),
        key: read(key),
        ca: read(ca),
      })
    : http.request(url, { ...common, agent: plainAgent })
  request.end(body)
  try {
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    return { status: response.statusCode, body: JSON.parse(await text(response)) as unknown }
  } catch (error) {
    return { error: String(error) }
  }
}

async function byChild(given: DeploymentCall): Promise<object> {
  const plan: DeploymentPlan = { listen: [] }
  const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(plan)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(`${JSON.stringify(given)}\n`)
  const lines = (await text(child.stdout)).trim().split('\n')
  return JSON.parse(lines.at(-1) ?? '') as object
}

const plan = JSON.parse(process.argv[2] ?? '') as DeploymentPlan
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const ports: number[] = []
for (const place of plan.listen) ports.push(await listen(place))
say({ listening: ports })
for await (const line of createInterface({ input: process.stdin }))
  say(await call(JSON.parse(line) as DeploymentCall))
process.exit(0)
