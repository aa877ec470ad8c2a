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
import { type StrictAnswer, valuesOf } from '../strict-http1.ts'
import { isTolerated, strictRequests } from './agreement.ts'
import { nodeRequestFault } from './second-opinion.ts'

/** Turns in which a connection that was cut here is seen there. */
const TURNS = 400

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

  static async start(): Promise<RequestLab> {
    const deployment = await recordingDeployment()
    const endpoints = [`http://127.0.0.1:${deployment.port}`]
    const proxy = await startProxy({
      listeners: [{ name: 'private', mode: 'private', port: 0, protocol: 'http' }],
      tenants: [{ id: 'acme', address: '127.0.0.1', deployment: { endpoints } }],
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

  /** Each request is answered with its own answer, in order; behind these there may be one refusal. */
  #answerFaults(client: RawClient, arrived: readonly RecordedRequest[]): string[] {
    const answers = answersIn(client, arrived)
    if (typeof answers === 'string') return [`the client got what breaks a rule: ${answers}`]
    if (answers.length < arrived.length)
      return [`${arrived.length} requests arrived, ${answers.length} answers came back`]
    for (const [index, { serial, method }] of arrived.entries()) {
      const body = method === 'HEAD' ? '' : `answer ${serial}\n`
      const answer = answers[index] as StrictAnswer
      if (
        answer.body.toString() !== body ||
        valuesOf(answer.fields, 'x-serial').join() !== `${serial}`
      )
        return [`answer ${index + 1} is that of another request`]
    }
    const more = answers.slice(arrived.length)
    this.refused += more.length
    if (more.length > 1) return ['more than one refusal']
    return more.every(({ status }) => status >= 400) ? [] : ['an answer that nobody gave']
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

/** A refusal of HEAD has no body, and which request was refused is not always to be seen from outside. */
function answersIn(
  client: RawClient,
  arrived: readonly RecordedRequest[],
): StrictAnswer[] | string {
  const methods = arrived.map(({ method }) => method)
  const answers = readAnswers(client.received, client.ended, methods)
  if (typeof answers === 'string' || answers.length > arrived.length) return answers
  return readAnswers(client.received, client.ended, [...methods, 'HEAD'])
}

/** What arrived is what a strict reader finds in what was sent, one after the other. */
function sameAsSent(text: string, arrived: readonly RecordedRequest[]): string[] {
  const strict = strictRequests(Buffer.from(text, 'latin1'))
  for (const [index, { method, body }] of arrived.entries()) {
    const sent = strict.messages[index]
    if (sent === undefined)
      return isTolerated(strict.rule) ? [] : [`request ${index + 1} was never sent: ${strict.rule}`]
    if (sent.method !== method || !sent.body.equals(body))
      return [`request ${index + 1} arrived as another one`]
  }
  return []
}
