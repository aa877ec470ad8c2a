import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { LEAF_DAYS } from '../../runtime/certificates/issue.ts'
import {
  DEFAULT_PKCS12_PASSWORD,
  DEFAULT_TRUST_DOMAIN,
  type TenantSubject,
  tenantFiles,
} from '../certificate-files.ts'
import { tenantOption } from '../options.ts'
import {
  checked,
  type IssuingOptions,
  issuingCommand,
  readAuthority,
  report,
  writeOrRefuse,
} from './options.ts'

const TRUST_DOMAIN_PATTERN = /^[a-z0-9._-]{1,255}$/

type TenantOptions = IssuingOptions & TenantSubject

/** `amt certs tenant`: by which a tenant is known. */
export function tenantCommand(): Command {
  return issuingCommand(
    'tenant',
    'make the client certificate of a tenant: ID.crt, ID.key and ID.p12',
    LEAF_DAYS,
  )
    .addOption(tenantOption().makeOptionMandatory())
    .addOption(
      new Option('--trust-domain <name>', 'trust domain of its SPIFFE id')
        .default(DEFAULT_TRUST_DOMAIN)
        .argParser((text: string) =>
          checked(text, TRUST_DOMAIN_PATTERN.test(text), 'a trust domain such as example.org'),
        ),
    )
    .addOption(
      new Option('--password <password>', 'password of the PKCS#12 file')
        .default(DEFAULT_PKCS12_PASSWORD)
        .argParser((text: string) => checked(text, text !== '', 'a password')),
    )
    .addHelpText(
      'after',
      '\nExample:\n  amt certs tenant --tenant acme --trust-domain example.org\n',
    )
    .action(async (options: TenantOptions, command: Command) => {
      const authority = await readAuthority(options.dir, command)
      const { tenant, dir, password, force, trustDomain } = options
      const made = await tenantFiles(authority, options, options)
      await writeOrRefuse(made.files, force, command)
      const shown =
        password === DEFAULT_PKCS12_PASSWORD
          ? `its password is "${password}"`
          : 'with the password that was given'
      report(
        made.files,
        `Under \`credentials:\` of tenant ${tenant} in the configuration, one of:
  - spiffe: ${made.spiffeId}
  - certificate: ${made.digest}
and once, for the first one:
  authentication: { spiffe: { trustDomain: ${trustDomain} } }

${join(dir, `${tenant}.p12`)} has the same for browsers and key stores; ${shown}.`,
      )
    })
}
