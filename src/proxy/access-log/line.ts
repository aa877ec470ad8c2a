/** The text of an access log line. `docs/access-log.md` has the same fields as a table. */
import type { Routability } from '../../core/routability.ts'
import type { LoggedCall, LoggedConnection } from './access-log.ts'

/** What lines of calls and connections have alike. */
export interface LoggedTraffic {
  /** Id, or '' where it is nobody's. */
  readonly tenant: string
  readonly listener: string
  readonly routability: Routability
  readonly peer: string
  /** Part of an object, as `CredentialNames` makes it. */
  readonly credential: string
  readonly ingress: number
  readonly egress: number
  readonly durationMs: number
}

/** With three such texts a line stays below what a pipe takes in one piece, 4 KiB. */
const MOST_CHARS = 1_024
/** Where some take six characters. */
const MOST_ODD_CHARS = 170
/** What JSON cannot have as it is, and what would take more bytes than characters. */
const NOT_PLAIN = /[^ !#-[\]-~]/

/** One that is known to need no escapes: ids, names and addresses of the configuration, and our own words. */
function plain(name: string, value: string): string {
  return `,"${name}":"${value}"`
}

/** Text of a peer, as JSON and in ASCII, and not for ever. */
export function quoted(text: string): string {
  const short = cut(text, MOST_CHARS)
  return NOT_PLAIN.test(short) ? ascii(JSON.stringify(cut(text, MOST_ODD_CHARS))) : `"${short}"`
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}...` : text
}

function ascii(json: string): string {
  // oxlint-disable-next-line no-control-regex -- JSON has escaped those that are below
  return json.replaceAll(/[^\x00-\x7e]/g, character => {
    const code = character.charCodeAt(0).toString(16)
    return `\\u${code.padStart(4, '0')}`
  })
}

/** To a microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}

function trafficText(of: LoggedTraffic): string {
  return (
    `,"tenant":"${of.tenant}","listener":"${of.listener}","routability":"${of.routability}"` +
    `,"peer":"${of.peer}"${of.credential},"ingress":${of.ingress},"egress":${of.egress},"durationMs":${rounded(of.durationMs)}`
  )
}

/** Without the beginning, which has the time, and the end. */
export function callText(call: LoggedCall): string {
  const grpcStatus = call.grpcStatus === undefined ? '' : `,"grpcStatus":${call.grpcStatus}`
  return (
    `"kind":"call"${plain('code', call.code)}${plain('flag', call.flag)},"status":${call.status}${grpcStatus}` +
    `${plain('operation', call.operation)},"method":${quoted(call.method)},"host":${quoted(call.host)},"path":${quoted(call.path)}` +
    `${plain('protocol', call.protocol)},"requestId":${quoted(call.requestId)}${call.trace === '' ? '' : plain('trace', call.trace)}${plain('connection', call.connection)}` +
    `${trafficText(call)},"upstream":${quoted(call.upstream)},"waitMs":${rounded(call.waitMs)},"upstreamMs":${rounded(call.upstreamMs)}`
  )
}

export function connectionText(connection: LoggedConnection): string {
  return (
    `"kind":"connection"${plain('code', connection.code)}${plain('flag', connection.flag)}${plain('reason', connection.reason)}` +
    `${plain('protocol', connection.protocol)}${plain('connection', connection.connection)}` +
    `${trafficText(connection)},"calls":${connection.calls},"upstream":${quoted(connection.upstream)}`
  )
}
