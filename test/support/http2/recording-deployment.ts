/**
 * A deployment of HTTP/2 that keeps every request as it came, and judges it by RFC 9113 alone: on purpose nothing like the
 * codec of the proxy, so that the two are unlikely to be wrong in the same way. The counterpart of `recordingDeployment`.
 */
import type { Test } from 'tap'
import { DATA, END_STREAM } from '../../../src/codec/http2/frame.ts'
import type { AttackPeer, HeardStream } from './attack-peer.ts'
import { startFrameDeployment } from './attacker.ts'
import { frame } from './frames.ts'
import { headers, type Pair } from './raw-fields.ts'

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/
const OF_ONE_CONNECTION =
  /^(connection|proxy-connection|keep-alive|transfer-encoding|upgrade|http2-settings)$/
const PSEUDO = /^:(method|scheme|authority|path|protocol)$/

export interface RecordedCall {
  readonly fields: readonly Pair[]
  readonly body: string
  readonly trailers: readonly Pair[]
}

export class RecordingFrameDeployment {
  port = 0
  readonly calls: RecordedCall[] = []
  /** What no strict reader of RFC 9113 would take. */
  readonly violations: string[] = []

  static async start(
    t: Test,
    answer: (streamId: number) => Buffer = served,
  ): Promise<RecordingFrameDeployment> {
    const deployment = new RecordingFrameDeployment()
    const { port } = await startFrameDeployment(t, peer => {
      peer.streamEnded = (streamId, stream) => {
        deployment.#record(stream)
        peer.send(answer(streamId))
      }
      deployment.#peers.push(peer)
    })
    deployment.port = port
    return deployment
  }

  readonly #peers: AttackPeer[] = []

  /** Streams that began, also those that never ended. */
  get begun(): number {
    return this.#peers.reduce((sum, { streams }) => sum + streams.size, 0)
  }

  #record({ sections, body }: HeardStream): void {
    const [fields = [], ...rest] = sections
    const trailers = rest.at(-1) ?? []
    this.calls.push({ fields, body, trailers })
    this.violations.push(...violationsOf(fields), ...trailers.flatMap(trailerViolation))
    if (rest.length > 1) this.violations.push('more than one trailer section')
  }
}

export function served(streamId: number): Buffer {
  return Buffer.concat([
    headers(streamId, [[':status', '200']], { endStream: false }),
    frame(DATA, streamId, 'served', END_STREAM),
  ])
}

function violationsOf(fields: readonly Pair[]): string[] {
  const pseudo = fields.filter(([name]) => name.startsWith(':'))
  const regular = fields.slice(pseudo.length)
  const names = pseudo.map(([name]) => name)
  const value = (name: string): string => pseudo.find(([each]) => each === name)?.[1] ?? ''
  const rules: readonly (readonly [holds: boolean, rule: string])[] = [
    [names.every(name => PSEUDO.test(name)), 'pseudo-header fields that exist'],
    [new Set(names).size === names.length, 'each pseudo-header field once'],
    [/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value(':method')), 'a method'],
    [/^https?$/.test(value(':scheme')), 'a scheme'],
    [/^(\*|\/[\x21-\x22\x24-\x7e]*)$/.test(value(':path')), 'a path'],
    [/^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]+$/.test(value(':authority')), 'an authority'],
    [
      regular.filter(([name]) => name === 'content-length').every(([, v]) => /^\d+$/.test(v)),
      'a content-length of digits',
    ],
    [regular.filter(([name]) => name === 'content-length').length <= 1, 'one content-length'],
    [
      regular.filter(([name]) => name === 'te').every(([, v]) => v === 'trailers'),
      'te of trailers alone',
    ],
    [
      regular
        .filter(([name]) => name === 'host')
        .every(([, v]) => v.toLowerCase() === value(':authority').toLowerCase()),
      'a host that is the authority',
    ],
  ]
  return [
    ...rules.filter(([holds]) => !holds).map(([, rule]) => `${rule}: ${JSON.stringify(fields)}`),
    ...regular.flatMap(regularViolation),
  ]
}

function regularViolation([name, value]: Pair): string[] {
  const holds = NAME.test(name) && VALUE.test(value) && !OF_ONE_CONNECTION.test(name)
  return holds ? [] : [`field ${JSON.stringify([name, value])}`]
}

function trailerViolation(pair: Pair): string[] {
  const frames = /^(content-length|host|te|trailer|expect|authorization)$/.test(pair[0])
  return frames ? [`trailer ${JSON.stringify(pair)}`] : regularViolation(pair)
}
