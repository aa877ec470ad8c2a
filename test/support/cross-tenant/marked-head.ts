/** What a deployment expects of the head of a call. */
import type { CallPlan } from './call-plan.ts'

/** What is wrong with the head that the proxy has written, or undefined. */
export function headProblem(head: string, plan: CallPlan): string | undefined {
  const { tenant, operation } = plan
  if (operation === 'refused') return 'it had to be refused'
  if (
    occurrences(head, 'x-amt-tenant') !== 1 ||
    !head.includes(`\r\nx-amt-tenant: ${tenant.id}\r\n`)
  )
    return 'another x-amt-tenant'
  if (!head.includes(`\r\nx-marker: ${tenant.marker}\r\n`)) return 'another marker'
  if (/spoofed|amt_|authorization|x-api-key/i.test(head)) return 'what the proxy must strip'
  const certificate = /\r\nx-forwarded-client-cert: (.*)\r\n/.exec(head)?.[1]
  if (certificate !== undefined && !certificate.includes(`/tenant/${tenant.id}`))
    return 'another certificate'
  return undefined
}

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1
}
