/**
 * A proxy between a client that sends anything and then says that it is done, and a deployment that records every byte.
 * Whatever was sent, this must hold: a strict reader and Node take what reached the deployment, as what the client sent;
 * each request that got there was answered, in order; nothing is left half-sent; the next client gets its own answer.
 */
import { readAnswers } from '../http1-verdict.ts'
import { NodeRequestReader } from '../node-http.ts'
import { RawClient, turns } from '../raw-client.ts'
import { type RecordedRequest, type RecordingDeployment, recordingDeployment } from '../raw-peer.ts'
import { type RunningProxy, startProxy } from '../start-proxy.ts'
import {
  readStrictAnswer,
  type StrictAnswer,
  type StrictRequest,
  valuesOf,
} from '../strict-http1.ts'
import { isTolerated, strictRequests } from './agreement.ts'
import { nodeRequestFault } from './second-opinion.ts'

/** Turns in which a connection that was cut here is seen there. */
const TURNS = 400

export interface RequestLabOptions {
  /** Asked whether the deployment answers a request before it has its body. */
  readonly hasty?: () => boolean
  /** `limits.body` of the tenant. */
  readonly bodyLimit?: string
}

export class RequestLab {
  readonly proxy: RunningProxy
  readonly #deployment: RecordingDeployment
  readonly #node = new NodeRequestReader()
  #probes = 0
  /** Requests that reached the deployment. */
  arrived = 0
  refused = 0

  private constructor(proxy: RunningProxy, deployment: RecordingDeployment) {
    this.proxy = proxy
    this.#deployment = deployment
  }

  static async start(options: RequestLabOptions = {}): Promise<RequestLab> {
    const { hasty, bodyLimit = '1MiB' } = options
    const deployment = await recordingDeployment(undefined, hasty)
    const endpoints = [`http://127.0.0.1:${deployment.port}`]
    const proxy = await startProxy({
      listeners: [{ name: 'private', mode: 'private', port: 0, protocol: 'http' }],
      // A search on a fast machine makes more than an address may.
      sources: { newConnections: 'off' },
      tenants: [
        {
          id: 'acme',
          address: '127.0.0.1',
          limits: { body: bodyLimit },
          deployment: { endpoints },
        },
      ],
    })
    return new RequestLab(proxy, deployment)
  }

  /** Sends `pieces` one after the other. @returns what is wrong. */
  async run(pieces: readonly string[]): Promise<string[]> {
    const deployment = this.#deployment
    deployment.forget()
    const client = await RawClient.connect(this.proxy.port('private'))
    for (const piece of pieces) {
      client.send(piece)
      await turns(2)
    }
    client.end()
    const over = await client.until(() => false)
    const arrived = deployment.requests.slice()
    this.arrived += arrived.length
    const problems = [
      ...(over ? [] : ['the connection was never closed']),
      ...deployment.violations.map(rule => `the deployment got what breaks a rule: ${rule}`),
      ...this.#answerFaults(client, arrived),
      ...sameAsSent(pieces.join(''), arrived),
      ...(await this.#opinions(arrived)),
      ...(await this.#probe()),
    ]
    client.close()
    if (!(await this.#nothingUnfinished())) problems.push('half a request stays at the deployment')
    return problems
  }

  /**
   * Answers come in order, each to a request of this client, and only those are missing whose request never was whole.
   * Refusals may stand between them; behind one that says so there is nothing.
   */
  #answerFaults(client: RawClient, arrived: readonly RecordedRequest[]): string[] {
    const waiting = this.#deployment.answered.slice()
    const whole = new Set(arrived.map(({ serial }) => serial))
    const answers = readServed(client, waiting)
    if (typeof answers === 'string') return [`the client got what breaks a rule: ${answers}`]
    let ended = false
    for (const { status, serial, close } of answers) {
      if (ended) return ['an answer behind the last one']
      ended = close
      if (serial === 0) this.refused++
      if (serial === 0 && status < 400) return ['an answer that nobody gave']
      if (serial === 0) continue
      const skipped = waiting.splice(0, waiting.findIndex(each => each.serial === serial) + 1)
      if (skipped.length === 0) return ['an answer out of order']
      if (skipped.slice(0, -1).some(each => whole.has(each.serial)))
        return ['an answer was left out']
    }
    return waiting.some(each => whole.has(each.serial)) ? ['an answer never came'] : []
  }

  async #opinions(arrived: readonly RecordedRequest[]): Promise<string[]> {
    const problems: string[] = []
    for (const request of arrived) {
      if (valuesOf(request.fields, 'x-amt-tenant').join() !== 'acme')
        problems.push('the deployment was told of another tenant')
      if (request.fields.some(([name]) => /^x_amt_|^x[-_]amt[_]/.test(name)))
        problems.push('the deployment may read another tenant')
      const fault = await nodeRequestFault(this.#node, request)
      if (fault !== '') problems.push(fault)
    }
    return problems
  }

  async #probe(): Promise<string[]> {
    const target = `/probe/${++this.#probes}`
    const client = await RawClient.connect(this.proxy.port('private'))
    const read = (): StrictAnswer[] | string => readAnswers(client.received, client.ended, ['GET'])
    client.send(`GET ${target} HTTP/1.1\r\nhost: probe.test\r\n\r\n`)
    await client.until(() => read().length > 0)
    const answers = read()
    client.close()
    const serial = this.#deployment.requests.findLast(request => request.target === target)?.serial
    if (typeof answers === 'string') return [`the next client got: ${answers}`]
    return answers.length === 1 && answers[0]?.body.toString() === `answer ${serial}\n`
      ? []
      : ['the next client did not get its own answer']
  }

  async #nothingUnfinished(): Promise<boolean> {
    const unfinished = (): boolean =>
      this.#deployment.connections.some(({ open, unread }) => open && unread > 0)
    for (let turn = 0; turn < TURNS && unfinished(); turn++) await turns(1)
    return !unfinished()
  }

  async close(): Promise<void> {
    this.#node.close()
    await this.proxy.close()
    await this.#deployment.close()
  }
}

interface Served {
  readonly status: number
  /** Of the request that it answers; 0 where the proxy answered. */
  readonly serial: number
  /** Whether it says that it is the last one. */
  readonly close: boolean
}

/** All final answers that a client got, or the rule that they break. The body of each is that of its serial. */
function readServed(
  client: RawClient,
  answered: RecordingDeployment['answered'],
): Served[] | string {
  const served: Served[] = []
  let rest = client.received
  while (rest.length > 0) {
    const text = rest.toString('latin1')
    const serial = Number(/^[^]*?\r\nx-serial: (\d+)\r\n/.exec(headOf(text))?.[1] ?? 0)
    // A refusal of HEAD has no body, and which request was refused is not always to be seen from outside.
    const refused = text.startsWith('{"type"', headOf(text).length) ? 'GET' : 'HEAD'
    const method = serial === 0 ? refused : answered.find(each => each.serial === serial)?.method
    const result = readStrictAnswer(rest, { method, closed: client.ended })
    if (result.kind === 'violation') return result.rule
    if (result.kind === 'incomplete')
      return client.ended ? 'an answer is cut without a reset' : served
    const { status, fields, body } = result.message
    rest = rest.subarray(result.length)
    if (status < 200) continue
    const right = method === 'HEAD' ? '' : `answer ${serial}\n`
    if (serial !== 0 && body.toString() !== right) return `another body: ${body.toString('latin1')}`
    served.push({ status, serial, close: valuesOf(fields, 'connection').includes('close') })
  }
  return served
}

function headOf(text: string): string {
  return text.slice(0, text.indexOf('\r\n\r\n') + 4)
}

/** What arrived is what a strict reader finds in what was sent, in its order. */
function sameAsSent(text: string, arrived: readonly RecordedRequest[]): string[] {
  const { messages, rule } = strictRequests(Buffer.from(text, 'latin1'))
  let at = 0
  for (const { method, body } of arrived) {
    while (at < messages.length && !isSame(messages[at], method, body)) at++
    if (at === messages.length && !isTolerated(rule)) return [`a request was never sent: ${rule}`]
    at++
  }
  return []
}

function isSame(sent: StrictRequest | undefined, method: string, body: Buffer): boolean {
  return sent?.method === method && sent.body.equals(body)
}
