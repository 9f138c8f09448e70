# Completion for letterlock, made by `make docs` from src/cmd/verbs.c.
_letterlock() {
	local cur=${COMP_WORDS[COMP_CWORD]} noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]} words=
	if [ "$COMP_CWORD" = 1 ]; then
		words="serve reload stop status sandbox-test demo account alias group route domain dkim dns report queue trace config backup restore verify probe docs version help "
	elif [ "$COMP_CWORD" = 2 ] && [[ $cur != -* ]]; then
		case $noun in
		account) words="add list show password remove disable enable rename forward grant limits " ;;
		alias) words="add list remove who " ;;
		group) words="add list show set members remove " ;;
		route) words="add list remove " ;;
		domain) words="catch-all add list remove " ;;
		dkim) words="list rotate retire revoke " ;;
		dns) words="show check ask " ;;
		report) words="dmarc tls send " ;;
		queue) words="list show retry hold free bounce drop pause resume suppressed " ;;
		config) words="check show explain " ;;
		backup) words="create verify " ;;
		probe) words="mime spf dkim arc dmarc send " ;;
		esac
	fi
	if [[ $cur != -* ]]; then
		COMPREPLY=($(compgen -W "$words" -- "$cur") $(compgen -f -- "$cur"))
		return
	fi
	case "$noun $verb" in
	"account add") words="--mode --quota --name --config --control --json --yes --help " ;;
	"account list") words="--config --control --json --yes --help " ;;
	"account show") words="--config --control --json --yes --help " ;;
	"account password") words="--recovery --config --control --json --yes --help " ;;
	"account remove") words="--config --control --json --yes --help " ;;
	"account disable") words="--config --control --json --yes --help " ;;
	"account enable") words="--config --control --json --yes --help " ;;
	"account rename") words="--config --control --json --yes --help " ;;
	"account forward") words="--to --only --off --config --control --json --yes --help " ;;
	"account grant") words="--remove --config --control --json --yes --help " ;;
	"account limits") words="--messages --recipients --first --waiting --undo --config --control --json --yes --help " ;;
	"alias add") words="--config --control --json --yes --help " ;;
	"alias list") words="--config --control --json --yes --help " ;;
	"alias remove") words="--config --control --json --yes --help " ;;
	"alias who") words="--config --control --json --yes --help " ;;
	"group add") words="--name --write --owner --config --control --json --yes --help " ;;
	"group list") words="--config --control --json --yes --help " ;;
	"group show") words="--config --control --json --yes --help " ;;
	"group set") words="--name --write --owner --config --control --json --yes --help " ;;
	"group members") words="--add --remove --config --control --json --yes --help " ;;
	"group remove") words="--config --control --json --yes --help " ;;
	"route add") words="--host --tls --user --connections --rate --config --control --json --yes --help " ;;
	"route list") words="--config --control --json --yes --help " ;;
	"route remove") words="--config --control --json --yes --help " ;;
	"domain catch-all") words="--off --config --control --json --yes --help " ;;
	"domain add") words="--config --control --json --yes --help " ;;
	"domain list") words="--config --control --json --yes --help " ;;
	"domain remove") words="--config --control --json --yes --help " ;;
	"dkim list") words="--config --control --json --yes --help " ;;
	"dkim rotate") words="--config --control --json --yes --help " ;;
	"dkim retire") words="--config --control --json --yes --help " ;;
	"dkim revoke") words="--config --control --json --yes --help " ;;
	"dns show") words="--zone --split --sts-policy --config --control --json --yes --help " ;;
	"dns check") words="--wait --config --control --json --yes --help " ;;
	"dns ask") words="--config --control --json --yes --help " ;;
	"report dmarc") words="--domain --since --config --control --json --yes --help " ;;
	"report tls") words="--domain --since --config --control --json --yes --help " ;;
	"report send") words="--day --domain --config --control --json --yes --help " ;;
	"queue list") words="--from --to --domain --older --reason --state --limit --mailq --config --control --json --yes --help " ;;
	"queue show") words="--config --control --json --yes --help " ;;
	"queue retry") words="--from --to --domain --older --reason --state --limit --all --dry-run --config --control --json --yes --help " ;;
	"queue hold") words="--from --to --domain --older --reason --state --limit --all --dry-run --config --control --json --yes --help " ;;
	"queue free") words="--from --to --domain --older --reason --state --limit --all --dry-run --config --control --json --yes --help " ;;
	"queue bounce") words="--from --to --domain --older --reason --state --limit --all --dry-run --text --config --control --json --yes --help " ;;
	"queue drop") words="--from --to --domain --older --reason --state --limit --all --dry-run --config --control --json --yes --help " ;;
	"queue pause") words="--config --control --json --yes --help " ;;
	"queue resume") words="--config --control --json --yes --help " ;;
	"queue suppressed") words="--config --control --json --yes --help " ;;
	"config check") words="--config --control --json --yes --help " ;;
	"config show") words="--config --control --json --yes --help " ;;
	"config explain") words="--config --control --json --yes --help " ;;
	"backup create") words="--config --control --json --yes --help " ;;
	"backup verify") words="--config --control --json --yes --help " ;;
	"probe mime") words="--config --control --json --yes --help " ;;
	"probe spf") words="--ip --helo --from --zone --receiver --at --batch --config --control --json --yes --help " ;;
	"probe dkim") words="--zone --at --config --control --json --yes --help " ;;
	"probe arc") words="--zone --at --config --control --json --yes --help " ;;
	"probe dmarc") words="--ip --helo --from --zone --at --receiver --config --control --json --yes --help " ;;
	"probe send") words="--from --no-data --config --control --json --yes --help " ;;
	esac
	case "$noun" in
	"serve") words="--one-process --config --control --json --yes --help " ;;
	"reload") words="--config --control --json --yes --help " ;;
	"stop") words="--config --control --json --yes --help " ;;
	"status") words="--config --control --json --yes --help " ;;
	"sandbox-test") words="--config --control --json --yes --help " ;;
	"demo") words="--state --port-base --accounts --config --control --json --yes --help " ;;
	"trace") words="--since --config --control --json --yes --help " ;;
	"restore") words="--config --control --json --yes --help " ;;
	"verify") words="--config --control --json --yes --help " ;;
	"docs") words="--config --control --json --yes --help " ;;
	"version") words="--config --control --json --yes --help " ;;
	"help") words="--config --control --json --yes --help " ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _letterlock letterlock
