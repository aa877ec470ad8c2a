/**
 * A proxy in front of a deployment that answers one call of a client with any bytes, and each other call as it should.
 * What matters is what the client sees, what becomes of the connections, and that nobody else sees any of it.
 */
import type net from 'node:net'
import { readAnswers } from './http1-verdict.ts'
import { RawClient, turns } from './raw-client.ts'
import {
  answerTo,
  type RecordedConnection,
  type RecordingDeployment,
  recordingDeployment,
} from './raw-peer.ts'
import { type RunningProxy, startProxy } from './start-proxy.ts'
import type { StrictAnswer } from './strict-http1.ts'

/** Turns of the event loop that an answer may take to pass the proxy, which is in this process: it takes about five. */
const TURNS = 25

export interface AnswerCase {
  readonly pieces: readonly Buffer[]
  readonly method: string
  /** Version of the client: 0 or 1 of HTTP/1.x. */
  readonly minor: number
  /** What the deployment does behind the last piece. One that keeps open an answer that has no end closes after a while. */
  readonly ending: 'open' | 'end' | 'reset'
}

export interface AnswerOutcome {
  /** All bytes that the client got for the call. */
  readonly received: Buffer
  /** Whether the proxy closed the connection of the client. */
  readonly closed: boolean
  /** Final answers in `received`, or the rule that they break. */
  readonly answers: readonly StrictAnswer[] | string
  /** Whether the deployment had to close, because the proxy waited for more. */
  readonly waited: boolean
  /** Whether the connection of the deployment is still open in the end. */
  readonly upstreamOpen: boolean
  /** Whether a later call used the connection on which the deployment answered. */
  readonly reused: boolean
  /** What is wrong whatever the answer was. */
  readonly problems: readonly string[]
}

interface Script extends AnswerCase {
  connection: RecordedConnection | undefined
  socket: net.Socket | undefined
  /** Whether the client has its outcome. */
  settled: boolean
  waited: boolean
}

export class AnswerLab {
  readonly proxy: RunningProxy
  readonly #deployment: RecordingDeployment
  readonly #stage: { script: Script }
  #probes = 0

  private constructor(
    proxy: RunningProxy,
    deployment: RecordingDeployment,
    stage: { script: Script },
  ) {
    this.proxy = proxy
    this.#deployment = deployment
    this.#stage = stage
  }

  static async start(): Promise<AnswerLab> {
    const stage = { script: scriptOf({ pieces: [], method: '', minor: 1, ending: 'open' }) }
    const deployment = await recordingDeployment((request, socket) => {
      if (request.target === '/case') void play(stage.script, request.connection, socket)
      else socket.write(answerTo(request))
    })
    const proxy = await startProxy({
      listeners: [{ name: 'private', mode: 'private', port: 0, protocol: 'http' }],
      // A search on a fast machine makes more than an address may.
      sources: { newConnections: 'off' },
      tenants: [
        {
          id: 'acme',
          address: '127.0.0.1',
          deployment: { endpoints: [`http://127.0.0.1:${deployment.port}`] },
        },
      ],
    })
    return new AnswerLab(proxy, deployment, stage)
  }

  async run(given: AnswerCase): Promise<AnswerOutcome> {
    this.#deployment.forget()
    const script = scriptOf(given)
    this.#stage.script = script
    const { method, minor } = given
    const client = await RawClient.connect(this.proxy.port('private'))
    const keep = minor === 0 ? 'connection: keep-alive\r\n' : ''
    client.send(`${method} /case HTTP/1.${minor}\r\nhost: a.test\r\n${keep}\r\n`)
    const answersOf = (): StrictAnswer[] | string =>
      readAnswers(client.received, client.ended, [method])
    const inTime = await client.until(() => {
      const answers = answersOf()
      return typeof answers === 'string' || answers.length > 0
    })
    script.settled = true
    // Whatever else comes of it shows now.
    await turns(TURNS)
    const { received, closed } = client
    const answers = answersOf()
    const problems = [
      ...(inTime ? [] : ['neither answered nor closed']),
      ...this.#deployment.violations,
      ...(closed ? [] : await this.#next('the same client', client, method)),
    ]
    client.close()
    const other = await RawClient.connect(this.proxy.port('private'))
    problems.push(...(await this.#next('another client', other, 'GET')))
    other.close()
    const { connection, waited } = script
    const reused = this.#deployment.requests.some(
      request => request.target !== '/case' && request.connection === connection,
    )
    const upstreamOpen = connection?.open ?? false
    script.socket?.destroy()
    return { received, closed, answers, waited, upstreamOpen, reused, problems }
  }

  /** The next call must get its own answer and nothing else. */
  async #next(who: string, client: RawClient, former: string): Promise<string[]> {
    const target = `/next/${++this.#probes}`
    const given = client.received.length
    const mine = (): StrictAnswer[] | string =>
      readAnswers(client.received.subarray(given), client.ended, ['GET'])
    client.send(`GET ${target} HTTP/1.1\r\nhost: a.test\r\n\r\n`)
    await client.until(() => mine().length > 0)
    const answers = mine()
    if (typeof answers === 'string') return [`${who} behind ${former} got: ${answers}`]
    const serial = this.#deployment.requests.find(request => request.target === target)?.serial
    const own = answers.length === 1 && answers[0]?.body.toString() === `answer ${serial}\n`
    return own ? [] : [`${who} did not get its own answer`]
  }

  async close(): Promise<void> {
    await this.proxy.close()
    await this.#deployment.close()
  }
}

function scriptOf(given: AnswerCase): Script {
  return { ...given, connection: undefined, socket: undefined, settled: false, waited: false }
}

async function play(
  script: Script,
  connection: RecordedConnection,
  socket: net.Socket,
): Promise<void> {
  script.connection = connection
  script.socket = socket
  for (const piece of script.pieces) {
    if (socket.destroyed) return
    if (piece.length > 0) socket.write(piece)
    await turns(2)
  }
  if (script.ending === 'reset') socket.resetAndDestroy()
  if (script.ending === 'end') socket.end()
  for (let turn = 0; turn < TURNS && !script.settled; turn++) await turns(1)
  if (script.settled || script.ending !== 'open') return
  script.waited = true
  socket.end()
}
