import { test } from 'tap'
import { type Finding, weigh } from '../../../../src/mixer/identity/evidence.ts'
import type { Evidence, UnidentifiedReason } from '../../../../src/mixer/identity/identity.ts'
import type { RegisteredTenant } from '../../../../src/mixer/registry/registry.ts'
import { tenant } from '../../../support/registry/registrations.ts'

const ACME: RegisteredTenant = { ...tenant('acme'), service: 'notes' }
const BETA: RegisteredTenant = { ...tenant('beta'), service: 'notes' }
const GAMMA: RegisteredTenant = { ...tenant('gamma'), service: 'notes' }
const WITH_ID: RegisteredTenant = {
  ...tenant('acme', { spiffe: ['spiffe://a.org/x'] }),
  service: 's',
}

function finding(
  evidence: Evidence,
  owners: readonly RegisteredTenant[],
  reason?: UnidentifiedReason,
): Finding {
  return { evidence, owners, ...(reason === undefined ? {} : { reason }) }
}

function outcome(findings: readonly Finding[], stranger = false): string {
  const verdict = weigh(findings, stranger)
  return verdict.kind === 'none' ? verdict.reason : `${verdict.tenant.id} by ${verdict.evidence}`
}

await test('the strongest evidence for exactly one deployment counts, unless another contradicts', t => {
  const certificate = (...owners: RegisteredTenant[]): Finding => finding('certificate', owners)
  const address = (...owners: RegisteredTenant[]): Finding => finding('address', owners)
  const cases: readonly [string, readonly Finding[], string][] = [
    ['nothing', [], 'unknown'],
    ['a certificate', [certificate(ACME)], 'acme by certificate'],
    ['both', [certificate(ACME), address(ACME)], 'acme by certificate'],
    ['an address that says nothing', [certificate(ACME), address()], 'acme by certificate'],
    ['a certificate that says nothing', [certificate(), address(ACME)], 'acme by address'],
    ['another address', [certificate(ACME), address(BETA)], 'conflict'],
    ['a shared address', [address(ACME, BETA)], 'ambiguous'],
    [
      'a shared address of which it is one',
      [certificate(ACME), address(ACME, BETA)],
      'acme by certificate',
    ],
    ['a shared address of others', [certificate(ACME), address(BETA, GAMMA)], 'conflict'],
    ['a shared certificate', [certificate(ACME, BETA), address(ACME)], 'acme by address'],
    ['neither is one', [certificate(ACME, BETA), address(ACME, BETA)], 'ambiguous'],
    ['names pending', [finding('address', [ACME], 'names_pending')], 'names_pending'],
    [
      'names pending, and another certificate',
      [certificate(BETA), finding('address', [ACME], 'names_pending')],
      'conflict',
    ],
    ['no process', [finding('process', [], 'process_hidden')], 'process_hidden'],
    [
      'no process, but a certificate',
      [certificate(ACME), finding('process', [], 'process_not_found')],
      'acme by certificate',
    ],
    ['a process of two', [certificate(), finding('process', [], 'ambiguous')], 'ambiguous'],
  ]
  for (const [name, findings, expected] of cases) t.equal(outcome(findings), expected, name)
  t.end()
})

await test('a certificate of a stranger contradicts a deployment that has an id of its own', t => {
  t.equal(outcome([finding('certificate', []), finding('address', [WITH_ID])], true), 'conflict')
  t.equal(
    outcome([finding('certificate', []), finding('address', [BETA])], true),
    'beta by address',
  )
  t.end()
})
