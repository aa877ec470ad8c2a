/** Private links of clouds in the configuration: ids that balancers say in the PROXY header of each connection. */
import { z } from 'zod'
import { privateLinkKey } from '../codec/proxy-tlv.ts'

const LARGEST_UINT32 = 2n ** 32n - 1n
const LARGEST_UINT64 = 2n ** 64n - 1n

type Id = z.ZodPipe<
  z.ZodUnion<readonly [z.ZodNumber, z.ZodString]>,
  z.ZodTransform<string, number | string>
>

/** Decimal text in the loaded configuration: 64 bits are more than a number can keep. */
function decimalId(largest: bigint, bits: number): Id {
  const hint = `must be a whole number from 0 to ${largest} (${bits} bits)`
  return z.union([z.number(), z.string()], { error: hint }).transform((value, context) => {
    const text = String(value)
    const exact = typeof value === 'string' || Number.isSafeInteger(value)
    if (exact && /^(0|[1-9]\d{0,19})$/.test(text) && BigInt(text) <= largest) return text
    context.addIssue({ code: 'custom', message: hint })
    return z.NEVER
  })
}

export const privateLink = z.union([
  z.strictObject({
    aws: z
      .string()
      .regex(
        /^vpce-[0-9a-z]{1,64}$/,
        'must be the id of a VPC endpoint, such as vpce-0123456789abcdef0',
      )
      .describe('AWS PrivateLink: id of the VPC endpoint of this tenant.'),
  }),
  z.strictObject({
    azure: decimalId(LARGEST_UINT32, 32).describe(
      'Azure Private Link: LINKID of the private endpoint of this tenant.',
    ),
  }),
  z.strictObject({
    gcp: decimalId(LARGEST_UINT64, 64).describe(
      'Google Private Service Connect: pscConnectionId of the endpoint of this tenant.',
    ),
  }),
])

/** The text by which links are compared, see `ProxyFacts.privateLink`. */
export function keyOfPrivateLink(link: z.output<typeof privateLink>): string {
  if ('aws' in link) return privateLinkKey('aws', link.aws)
  return 'azure' in link ? privateLinkKey('azure', link.azure) : privateLinkKey('gcp', link.gcp)
}
