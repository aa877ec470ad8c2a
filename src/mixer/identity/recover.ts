/**
 * Recovers which deployment calls from the source of its connection: workload certificate, source address, process. All
 * that says anything is asked, so that a contradiction shows; docs/identity.md has the rules.
 */
import type { Socket } from 'node:net'
import { canonicalIp, ipNumber, isLinkLocal } from '../../codec/ip-block.ts'
import type { Clock } from '../../core/clock.ts'
import type { Deployments, RegisteredTenant } from '../registry/registry.ts'
import { type CertificateEvidence, readCertificate } from './certificate.ts'
import { type Finding, weigh } from './evidence.ts'
import type { Identified, Identify } from './identity.ts'
import type { ProcessAnswer } from './process-lookup.ts'
import { isOwnAddress } from './process-owners.ts'
import type { Connection } from './tcp-table.ts'

/** How long it is believed that nobody is known behind a connection: a deployment may call before it listens. */
const UNKNOWN_MS = 1_000

export interface RecoveryDeps {
  readonly deployments: Deployments
  readonly process: { find(connection: Connection): Promise<ProcessAnswer> }
  /** Addresses of this machine, without loopback. */
  readonly ownAddresses: () => readonly string[]
  readonly clock: Clock
  /** Told of every call. */
  readonly onResult: (result: Identified, about: Readonly<Record<string, unknown>>) => void
}

/** What the process behind a connection was found to be, until the registry changes or it is known to be unknown. */
interface Remembered {
  readonly version: number
  readonly askedAt: number
  readonly answer: Promise<ProcessAnswer>
  settled?: ProcessAnswer
}

export function createRecovery(deps: RecoveryDeps): Identify {
  const remembered = new WeakMap<Socket, Remembered>()
  return async socket => {
    const result = await recover(deps, remembered, socket)
    deps.onResult(result.identified, result.about)
    return result.identified
  }
}

interface Recovered {
  readonly identified: Identified
  /** For the log. */
  readonly about: Readonly<Record<string, unknown>>
}

async function recover(
  deps: RecoveryDeps,
  remembered: WeakMap<Socket, Remembered>,
  socket: Socket,
): Promise<Recovered> {
  const connection = connectionOf(socket)
  if (connection === undefined) return nobody('connection_gone')
  const own = isOwnAddress(connection.localAddress, deps.ownAddresses())
  // Asked first, for everything else is answered at once and so from the same moment.
  const process = own ? await processOf(deps, remembered, { socket, connection }) : undefined
  if (socket.destroyed) return nobody('connection_gone')
  const certificate = readCertificate(socket, deps.clock.now())
  const findings = [
    ...certificateFindings(deps.deployments, certificate),
    ...(process === undefined
      ? addressFindings(deps.deployments, connection.localAddress)
      : processFindings(deps.deployments, process)),
  ]
  const about = aboutOf(connection, certificate, findings)
  if (certificate.kind === 'invalid') return nobody('certificate_invalid', about)
  const stranger = certificate.kind === 'verified' && (findings[0]?.owners.length ?? 0) === 0
  const verdict = weigh(findings, stranger)
  if (verdict.kind === 'none') return nobody(verdict.reason, about)
  const { tenant, evidence } = verdict
  if (tenant.disabled) return { identified: { kind: 'disabled' }, about }
  const caller = {
    tenant: tenant.id,
    deployment: `${tenant.service}/${tenant.id}`,
    recoveredBy: evidence,
  }
  return { identified: { kind: 'identified', caller }, about }
}

/** As the caller's socket has it; undefined where it is gone. */
function connectionOf(socket: Socket): Connection | undefined {
  const localAddress = canonicalIp(socket.remoteAddress ?? '')
  const remoteAddress = canonicalIp(socket.localAddress ?? '')
  const { remotePort, localPort } = socket
  if (localAddress === undefined || remoteAddress === undefined) return undefined
  if (remotePort === undefined || localPort === undefined) return undefined
  return { localAddress, localPort: remotePort, remoteAddress, remotePort: localPort }
}

async function processOf(
  { process, deployments, clock }: RecoveryDeps,
  remembered: WeakMap<Socket, Remembered>,
  { socket, connection }: { readonly socket: Socket; readonly connection: Connection },
): Promise<ProcessAnswer> {
  const known = remembered.get(socket)
  const now = clock.monotonic()
  if (known !== undefined && known.version === deployments.version) {
    const named = known.settled?.kind === 'tenants' && known.settled.tenants.length > 0
    if (named || known.settled === undefined || now - known.askedAt < UNKNOWN_MS)
      return known.answer
  }
  const answer = process.find(connection)
  const entry: Remembered = { version: deployments.version, askedAt: now, answer }
  remembered.set(socket, entry)
  entry.settled = await answer
  return entry.settled
}

function certificateFindings(deployments: Deployments, evidence: CertificateEvidence): Finding[] {
  if (evidence.kind !== 'verified') return []
  const { spiffeId } = evidence
  return [
    {
      evidence: 'certificate',
      owners: spiffeId === undefined ? [] : deployments.bySpiffe(spiffeId),
    },
  ]
}

function addressFindings(deployments: Deployments, address: string): Finding[] {
  if (isLinkLocal(ipNumber(address) ?? 0n)) return []
  const { owners, complete } = deployments.byAddress(address)
  return [{ evidence: 'address', owners, ...(complete ? {} : { reason: 'names_pending' }) }]
}

function processFindings(deployments: Deployments, answer: ProcessAnswer): Finding[] {
  if (answer.kind === 'failed') return [{ evidence: 'process', owners: [], reason: answer.reason }]
  const owners: RegisteredTenant[] = answer.tenants.flatMap(id => deployments.tenant(id) ?? [])
  return [{ evidence: 'process', owners }]
}

function nobody(
  reason: Extract<Identified, { kind: 'unidentified' }>['reason'],
  about: Recovered['about'] = {},
): Recovered {
  return { identified: { kind: 'unidentified', reason }, about }
}

function aboutOf(
  { localAddress, localPort }: Connection,
  certificate: CertificateEvidence,
  findings: readonly Finding[],
): Recovered['about'] {
  const found = findings.map(({ evidence, owners }) => [
    evidence,
    owners.slice(0, 10).map(o => o.id),
  ])
  return {
    address: localAddress,
    port: localPort,
    ...(certificate.kind === 'verified' ? { spiffe: certificate.spiffeId ?? null } : {}),
    found: Object.fromEntries(found) as Record<string, readonly string[]>,
  }
}
