import type { Command } from 'commander'
import { AUTHORITY_DAYS, createAuthority } from '../../runtime/certificates/issue.ts'
import { AUTHORITY_NAME, keyedFiles } from '../certificate-files.ts'
import { type IssuingOptions, issuingCommand, report, writeOrRefuse, yamlPath } from './options.ts'

/** `amt certs init`: the authority that all others are issued by. */
export function initCommand(): Command {
  return issuingCommand('init', 'make a certificate authority: ca.crt and ca.key', AUTHORITY_DAYS)
    .option('--name <name>', 'its name', AUTHORITY_NAME)
    .addHelpText('after', '\nExample:\n  amt certs init --dir certs\n')
    .action(async (options: IssuingOptions & { name: string }, command: Command) => {
      const { dir, force, name } = options
      const files = keyedFiles(dir, 'ca', await createAuthority(name, Date.now(), options))
      await writeOrRefuse(files, force, command)
      report(
        files,
        `Under \`tls:\` of a listener in the configuration:
  clientCertificate: optional
  clientCa: ${yamlPath(dir, 'ca.crt')}

Keep ca.key off every machine that does not issue certificates.`,
      )
    })
}
